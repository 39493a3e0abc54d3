package statefulset

import (
	"maps"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
)

// wantedPods makes the pods that are missing, removes those that finished, which
// are made again when they are gone, and mends the others. It tells whether the
// round may go on.
func (r *round) wantedPods() bool {
	var actions []action
	made, at := 0, 0
	for i := range wanted(r.set) {
		n := start(r.set) + i
		var p *pod // the pods and the ordinals come in one order
		if at < len(r.inside) && r.ordinal(r.inside[at]) == n {
			p = r.inside[at]
			at++
		}
		if p == nil && made == r.batch() {
			r.more = true
			break
		}
		a, wait := r.wantedPod(n, p)
		if a != nil {
			actions = append(actions, *a)
			if a.verb == create {
				made++
			}
		}
		if wait && r.ordered {
			r.do(actions...)
			return false
		}
	}
	r.do(actions...)
	return !r.more
}

// wantedPod decides about one pod; nil is nothing to do. wait tells that those
// that follow in order must wait.
func (r *round) wantedPod(n int, p *pod) (a *action, wait bool) {
	switch {
	case p == nil:
		return r.newPod(n), true
	case p.finished():
		if p.deleting() {
			return nil, true
		}
		return r.removal(p), true
	}
	wait = p.deleting() || !p.runningAndReady() || !r.available(p)
	if !wait || !r.ordered {
		a = r.mended(n, p)
	}
	if !p.pending() || p.deleting() {
		return a, wait
	}
	if a == nil {
		a = r.prepared(n, p, prepare)
	}
	if a.missing, a.held = r.missing(n); a.verb == prepare && len(a.missing) == 0 && len(a.owners) == 0 {
		a = nil
	}
	return a, wait
}

// newPod makes a pod, unless one of its claims is about to go with the one before.
func (r *round) newPod(n int) *action {
	o := ownership{set: r.set, of: holder{name: podName(r.set, n)}}
	if _, withPod := policy(r.set); withPod {
		for _, t := range r.set.Spec.VolumeClaimTemplates {
			if c := r.claims[claimOf(r.set, t.Name, n)]; c != nil && o.stale(c.OwnerReferences) {
				r.lookIn(retry)
				return nil
			}
		}
	}
	a := r.prepared(n, nil, create)
	a.missing, a.held = r.missing(n)
	a.revision = r.update
	if r.ofCurrent(n) {
		a.revision = r.current
	}
	return a
}

// ofCurrent tells whether a pod that is made now is made of the revision before
// the update.
func (r *round) ofCurrent(n int) bool {
	s := r.set.Spec.UpdateStrategy
	if s.Type != "" && s.Type != appsv1.RollingUpdateStatefulSetStrategyType {
		return false
	}
	if s.RollingUpdate == nil {
		return n-start(r.set) < int(r.set.Status.CurrentReplicas)
	}
	return n-start(r.set) < r.partition()
}

// partition is the number of pods, from the first, that an update leaves alone.
func (r *round) partition() int {
	if u := r.set.Spec.UpdateStrategy.RollingUpdate; u != nil && u.Partition != nil {
		return int(*u.Partition)
	}
	return 0
}

// prepared is an action about a pod and the owners of its claims.
func (r *round) prepared(n int, p *pod, v verb) *action {
	a := &action{verb: v, name: podName(r.set, n), ordinal: n, pod: p}
	o := ownership{set: r.set, of: holder{name: a.name, condemned: !inRange(r.set, n)}}
	if p != nil {
		o.of.uid = p.UID
	}
	for _, t := range r.set.Spec.VolumeClaimTemplates {
		c := r.claims[claimOf(r.set, t.Name, n)]
		if c == nil {
			continue
		}
		if o.foreign(c.OwnerReferences) {
			a.foreign = append(a.foreign, c.Name)
		}
		if refs, ok := o.correct(c.OwnerReferences); !ok {
			a.owners = append(a.owners, reowned{c, refs})
		}
	}
	return a
}

// missing are the templates whose claims are to be made for a pod; held is a
// claim that is being deleted, after which the round looks again.
func (r *round) missing(n int) (missing []int, held string) {
	for i, t := range r.set.Spec.VolumeClaimTemplates {
		switch c := r.claims[claimOf(r.set, t.Name, n)]; {
		case c == nil:
			missing = append(missing, i)
		case c.DeletionTimestamp != nil:
			held = c.Name
			r.lookIn(retry)
		}
	}
	return missing, held
}

// mended gives a pod back its identity and its volumes, and its claims their
// owners; nil when all is right.
func (r *round) mended(n int, p *pod) *action {
	named := p.Labels[appsv1.StatefulSetPodNameLabel] == p.Name
	if named && len(r.set.Spec.VolumeClaimTemplates) == 0 {
		return nil
	}
	a := r.prepared(n, p, update)
	if !named {
		a.labels = identity(r.set, n)
	}
	for _, t := range r.set.Spec.VolumeClaimTemplates {
		v := volume{Name: t.Name, Claim: &claimName{claimOf(r.set, t.Name, n)}}
		if !slices.ContainsFunc(p.Spec.Volumes, func(x volume) bool { return x.Name == v.Name && x.Claim != nil && *x.Claim == *v.Claim }) {
			a.volumes = append(a.volumes, v)
		}
	}
	if a.volumes != nil {
		a.missing, a.held = r.missing(n)
	}
	if a.labels == nil && a.volumes == nil && a.owners == nil {
		return nil
	}
	return a
}

// identity is the labels that tell which pod of a set one is.
func identity(set *appsv1.StatefulSet, ordinal int) map[string]string {
	name := podName(set, ordinal)
	return map[string]string{appsv1.StatefulSetPodNameLabel: name, appsv1.PodIndexLabel: name[len(set.Name)+1:]}
}

// claimNames are the claims that a round may have to know: those of the pods that
// are there, and of those that it may make.
func claimNames(set *appsv1.StatefulSet, pods []*pod) []string {
	if len(set.Spec.VolumeClaimTemplates) == 0 {
		return nil
	}
	ordinals := map[int]bool{}
	for _, p := range pods {
		if n, ok := p.ordinal(set); ok {
			ordinals[n] = true
		}
	}
	for i, left := 0, min(max(minBatch, len(pods)), maxBatch); i < wanted(set) && left > 0; i++ {
		if n := start(set) + i; !ordinals[n] {
			ordinals[n] = true
			left--
			if set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement {
				break // it makes one
			}
		}
	}
	var out []string
	for _, n := range slices.Sorted(maps.Keys(ordinals)) {
		for _, t := range set.Spec.VolumeClaimTemplates {
			out = append(out, claimOf(set, t.Name, n))
		}
	}
	return out
}
