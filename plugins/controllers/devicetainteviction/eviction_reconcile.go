package devicetainteviction

import (
	"maps"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// eviction is when pods have to go, and which rules are among the reasons: their uids by
// their names. Nil: they may stay.
type eviction struct {
	when  time.Time
	rules map[string]string
}

// and is the eviction for both reasons, at the earlier time.
func (e *eviction) and(o *eviction) *eviction {
	switch {
	case e == nil:
		return o
	case o == nil:
		return e
	}
	out := &eviction{when: e.when, rules: maps.Clone(e.rules)}
	if o.when.Before(out.when) {
		out.when = o.when
	}
	maps.Copy(out.rules, o.rules)
	return out
}

// tolerates tells whether a toleration is of a taint.
func (t *toleration) tolerates(x *taint) bool {
	if t.Effect != "" && t.Effect != x.Effect || t.Key != "" && t.Key != x.Key {
		return false
	}
	switch t.Operator {
	case "", "Equal":
		return t.Value == x.Value
	case "Exists":
		return true
	}
	return false
}

// due is when a taint drives out who has the device; false when it never does. Of several
// tolerations with a time the shortest counts, and one without a time is for good.
func (r *result) due(x *taint) (time.Time, bool) {
	if x.Effect != noExecute {
		return time.Time{}, false
	}
	at, seconds := x.TimeAdded.Time(), int64(-1)
	for i := range r.Tolerations {
		t := &r.Tolerations[i]
		// One that names no effect is for taints that keep new claims out.
		if t.Effect != noExecute || !t.tolerates(x) {
			continue
		}
		if t.Seconds == nil {
			return time.Time{}, false
		}
		if s := max(*t.Seconds, 0); seconds < 0 || s < seconds {
			seconds = s
		}
	}
	return at.Add(time.Duration(max(seconds, 0)) * time.Second), true
}

// selects tells whether the rule is about a device. Without a selector it is about none.
func (r *rule) selects(driver, pool, device string) bool {
	s := r.Spec.Selector
	return s != nil && (s.Driver == nil || *s.Driver == driver) && (s.Pool == nil || *s.Pool == pool) && (s.Device == nil || *s.Device == device)
}

// pool is a driver's, by its name.
type pool struct{ driver, name string }

// current are the slices of a pool that hold: the driver replaces them, generation by
// generation.
func current(of pool, list []*slice) []*slice {
	var out []*slice
	newest := int64(0)
	for _, s := range list {
		switch g := s.Spec.Pool.Generation; {
		case s.Spec.Driver != of.driver || s.Spec.Pool.Name != of.name || len(out) > 0 && g < newest:
		case len(out) == 0 || g > newest:
			out, newest = []*slice{s}, g
		default:
			out = append(out, s)
		}
	}
	return out
}

// tainted tells whether a device of the slices drives out who has it.
func tainted(list []*slice) bool {
	for _, s := range list {
		for _, d := range s.Spec.Devices {
			for _, x := range d.Taints {
				if x.Effect == noExecute {
					return true
				}
			}
		}
	}
	return false
}

// taintsOf are those that its driver gave a device.
func taintsOf(name string, list []*slice) []taint {
	for _, s := range list {
		for _, d := range s.Spec.Devices {
			if d.Name == name {
				return d.Taints
			}
		}
	}
	return nil
}

// evictionOf is the eviction of the pods that use a claim: at the earliest of all taints of
// its devices. pools are the current slices of their pools.
func evictionOf(c *claim, pools map[pool][]*slice, rules []*rule) *eviction {
	if c.Status.Allocation == nil {
		return nil
	}
	var out *eviction
	for i := range c.Status.Allocation.Devices.Results {
		r := &c.Status.Allocation.Devices.Results[i]
		taints := taintsOf(r.Device, pools[pool{r.Driver, r.Pool}])
		for j := range taints {
			if at, ok := r.due(&taints[j]); ok {
				out = out.and(&eviction{when: at, rules: map[string]string{}})
			}
		}
		for _, x := range rules {
			if !x.selects(r.Driver, r.Pool, r.Device) {
				continue
			}
			if at, ok := r.due(&x.Spec.Taint); ok {
				out = out.and(&eviction{when: at, rules: map[string]string{x.Name: x.UID}})
			}
		}
	}
	return out
}

// claimsOf are the names of the pod's claims; true with those that must be its own.
func (p *pod) claimsOf() map[string]bool {
	out := map[string]bool{}
	for _, c := range p.Spec.Claims {
		if c.ClaimName != nil {
			out[*c.ClaimName] = false
			continue
		}
		for _, s := range p.Status.Claims {
			if s.Name == c.Name && s.ClaimName != nil {
				out[*s.ClaimName] = true
			}
		}
	}
	if x := p.Status.Extended; x != nil && x.ClaimName != "" {
		out[x.ClaimName] = true
	}
	return out
}

// uses tells whether the pod, which names the claim, is among those that may use it.
func (p *pod) uses(c *claim, own bool) bool {
	if own && (c.Namespace != p.Namespace || !metav1.IsControlledBy(c, p)) {
		return false
	}
	for _, r := range c.Status.ReservedFor {
		if r.UID == p.UID {
			return true
		}
	}
	return false
}

// evictable tells whether there is something of the pod to evict: it has a node, and has
// neither come to its end nor been deleted.
func (p *pod) evictable() bool {
	return p.Spec.NodeName != "" && p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed
}

// marked is the patch of the status of a pod that is evicted. It keeps the time of a
// condition that is true already.
func marked(p *pod, now time.Time) map[string]any {
	c := corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "DeletionByDeviceTaintManager",
		Message: "Device Taint manager: deleting due to NoExecute taint", LastTransitionTime: metav1.NewTime(now)}
	for _, old := range p.Status.Conditions {
		if old.Type == c.Type && old.Status == c.Status {
			c.LastTransitionTime = old.LastTransitionTime
		}
	}
	return map[string]any{"metadata": map[string]any{"uid": p.UID}, "status": map[string]any{"conditions": []corev1.PodCondition{c}}}
}
