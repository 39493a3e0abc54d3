package v1

import "time"

// Condition finds a condition by type; nil when the pod has none of it.
func (p *Pod) Condition(t PodConditionType) *PodCondition {
	for i := range p.Status.Conditions {
		if p.Status.Conditions[i].Type == t {
			return &p.Status.Conditions[i]
		}
	}
	return nil
}

// Ready tells whether the pod's Ready condition is true.
func (p *Pod) Ready() bool {
	c := p.Condition(PodReady)
	return c != nil && c.Status == ConditionTrue
}

// Finished tells whether the pod has run to its end and will not run again.
func (p *Pod) Finished() bool {
	return p.Status.Phase == PodSucceeded || p.Status.Phase == PodFailed
}

// Active tells whether the pod runs or will run: neither finished nor being
// deleted.
func (p *Pod) Active() bool { return !p.Finished() && p.DeletionTimestamp == nil }

// AvailableIn is how long it takes until the pod has been ready for minReady:
// 0 when it is available, negative when it is not ready.
func (p *Pod) AvailableIn(minReady time.Duration, now time.Time) time.Duration {
	switch {
	case !p.Ready():
		return -1
	case minReady <= 0:
		return 0 // whatever the node's clock says
	}
	since := p.Condition(PodReady).LastTransitionTime.Time()
	return max(since.Add(minReady).Sub(now), 0)
}
