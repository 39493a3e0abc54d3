package statefulset

import (
	"maps"
	"reflect"
	"slices"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
)

// rollingUpdate removes pods of another revision than the one to update to, as
// many as may be missing (KEP-961), the highest ordinal first; they are made
// anew once they are gone. Below the partition none is removed.
func (r *round) rollingUpdate() bool {
	if t := r.set.Spec.UpdateStrategy.Type; t == appsv1.OnDeleteStatefulSetStrategyType || t == appsv1.RecreateStatefulSetStrategyType {
		return true
	}
	budget := r.maxUnavailable() - (wanted(r.set) - len(r.inside))
	var well, unwell []*pod // of other revisions, above the partition
	for _, p := range slices.Backward(r.inside) {
		gone := p.deleting() || r.doomed[r.ordinal(p)]
		bad := gone || !r.available(p)
		if bad {
			budget--
		}
		switch {
		case gone || p.revision() == r.update || r.ordinal(p)-start(r.set) < r.partition():
		case bad:
			unwell = append(unwell, p)
		default:
			well = append(well, p)
		}
	}
	if !r.ordered {
		// Who is not well is missed already: it costs nothing to replace, and a
		// template that does not work is left behind.
		r.outdated(unwell)
		r.outdated(well[:max(min(budget, len(well)), 0)])
		return true
	}
	all := append(unwell, well...) // in order nobody is unwell, or the round would wait
	r.outdated(all[:max(min(budget, len(all)), 0)])
	return true
}

// outdated removes pods for an update.
func (r *round) outdated(pods []*pod) {
	var actions []action
	for _, p := range pods[:min(len(pods), maxBatch)] {
		if p.revision() == r.current {
			r.status.CurrentReplicas--
		}
		actions = append(actions, *r.removal(p))
	}
	r.more = r.more || len(pods) > maxBatch
	r.do(actions...)
}

// maxUnavailable is at least one.
func (r *round) maxUnavailable() int {
	u := r.set.Spec.UpdateStrategy.RollingUpdate
	if u == nil || u.MaxUnavailable == nil {
		return 1
	}
	n, err := u.MaxUnavailable.Scaled(wanted(r.set), false)
	if err != nil {
		return 1 // the API refuses what is neither a number nor a percentage
	}
	return max(n, 1)
}

// count is the status of the pods that there are, and when one of them becomes
// available.
func (r *round) count() appsv1.StatefulSetStatus {
	s := appsv1.StatefulSetStatus{ObservedGeneration: r.set.Generation, CurrentRevision: r.current, UpdateRevision: r.update,
		CollisionCount: &r.collisions, Conditions: r.set.Status.Conditions}
	for _, p := range slices.Concat(r.inside, r.condemned) {
		if !p.created() {
			continue
		}
		s.Replicas++
		if p.runningAndReady() {
			s.ReadyReplicas++
			if wait, _ := p.availableIn(r.minReady, r.now); wait == 0 {
				s.AvailableReplicas++
			} else {
				r.lookIn(wait)
			}
		}
		if p.deleting() {
			continue
		}
		if p.revision() == r.current {
			s.CurrentReplicas++
		}
		if p.revision() == r.update {
			s.UpdatedReplicas++
		}
	}
	return s
}

func (r *round) lookIn(wait time.Duration) {
	if r.again == 0 || wait < r.again {
		r.again = wait
	}
}

// complete ends an update that has reached all pods.
func (r *round) complete() {
	n := int32(wanted(r.set))
	if s := &r.status; s.UpdatedReplicas == n && s.ReadyReplicas == n && s.Replicas == n {
		s.CurrentReplicas, s.CurrentRevision = s.UpdatedReplicas, s.UpdateRevision
	}
}

// live are the revisions that are in use.
func live(current, update string, pods []*pod) map[string]bool {
	out := map[string]bool{current: true, update: true}
	for _, p := range pods {
		out[p.revision()] = true
	}
	return out
}

func sameStatus(a, b appsv1.StatefulSetStatus) bool {
	if len(a.Conditions) == 0 && len(b.Conditions) == 0 {
		a.Conditions, b.Conditions = nil, nil
	}
	return reflect.DeepEqual(a, b)
}

// with adds labels to labels.
func with(labels, more map[string]string) map[string]string {
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	maps.Copy(out, more)
	return out
}
