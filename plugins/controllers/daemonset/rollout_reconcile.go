package daemonset

import appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"

// surge is how many nodes of so many may have a second pod during an update.
func (s *state) surge(of int) int {
	r := s.rolling()
	if r == nil || r.MaxSurge == nil {
		return 0
	}
	n, _ := r.MaxSurge.Scaled(of, true) // validated
	return n
}

func (s *state) unavailable(of int) int {
	r := s.rolling()
	if r == nil || r.MaxUnavailable == nil {
		return 0
	}
	n, _ := r.MaxUnavailable.Scaled(of, true) // validated
	return n
}

func (s *state) rolling() *appsv1.RollingUpdateDaemonSet {
	if s.set.Spec.UpdateStrategy.Type != appsv1.RollingUpdateDaemonSetStrategyType {
		return nil
	}
	return s.set.Spec.UpdateStrategy.RollingUpdate
}

// pair are the pods of a node that stay: of the present template, and of one before.
type pair struct{ after, before *pod }

// pairOf is false for a node with two of a kind, one of which is about to be removed.
func (s *state) pairOf(pods []*pod) (p pair, ok bool) {
	for _, x := range pods {
		if x.deleting() {
			continue
		}
		place := &p.before
		if s.updated(x) {
			place = &p.after
		}
		if *place != nil {
			return pair{}, false
		}
		*place = x
	}
	return p, true
}

// each visits the nodes that an update is about: those that should have a pod, and
// those that have one.
func (s *state) each(visit func(at string, run bool, pods []*pod)) {
	for i, n := range s.nodes {
		if pods := s.pods[i]; s.verdicts[i].run || len(pods) > 0 {
			visit(n.Name, s.verdicts[i].run, pods)
		}
	}
	for _, at := range s.astray {
		visit(at, false, s.lost[at])
	}
}

// rollOut replaces the pods of templates before, within what the strategy allows.
func (s *state) rollOut(p *plan) {
	desired := 0
	for _, v := range s.verdicts {
		if v.run {
			desired++
		}
	}
	surge, unavailable := s.surge(desired), s.unavailable(desired)
	if surge == 0 {
		if unavailable == 0 {
			unavailable = 1 // nothing would ever happen
		}
		s.replace(p, unavailable)
		return
	}
	s.addBeside(p, surge, desired)
}

// replace removes pods so that no more than so many are unavailable; manage makes the
// new ones. One that is not available is missed already, and goes in any case.
func (s *state) replace(p *plan, allowed int) {
	down := 0
	var candidates []*pod
	s.each(func(_ string, _ bool, pods []*pod) {
		x, ok := s.pairOf(pods)
		switch {
		case !ok, (x.before == nil) == (x.after == nil): // manage sees to it
			down++
		case x.after != nil:
			if !s.available(x.after) {
				down++
			}
		case !s.available(x.before):
			p.remove = append(p.remove, x.before)
			down++
		default:
			candidates = append(candidates, x.before)
		}
	})
	p.remove = append(p.remove, candidates[:min(max(allowed-down, 0), len(candidates))]...)
}

// addBeside puts new pods beside the old ones on so many nodes at once, and removes an
// old one when the new one is available. A node whose old pod is not available gets a
// new one in any case; one that should have none any more loses it when as many as
// desired are available without it.
func (s *state) addBeside(p *plan, allowed, desired int) {
	surging, up := 0, 0
	var candidates []string
	var leaving []*pod
	s.each(func(at string, run bool, pods []*pod) {
		x, ok := s.pairOf(pods)
		if !ok {
			surging++
			return
		}
		if stands := x.before; stands != nil && s.available(stands) || stands == nil && x.after != nil && s.available(x.after) {
			up++
		}
		switch {
		case x.before == nil: // manage sees to it
		case x.after != nil && s.available(x.after):
			p.remove = append(p.remove, x.before)
		case x.after != nil:
			surging++
		case !s.available(x.before) && run:
			p.create = append(p.create, at)
		case !s.available(x.before):
			p.remove = append(p.remove, x.before)
		case run:
			candidates = append(candidates, at)
		default:
			leaving = append(leaving, x.before)
		}
	})
	p.remove = append(p.remove, leaving[:min(max(up-desired, 0), len(leaving))]...)
	p.create = append(p.create, candidates[:min(max(allowed-surging, 0), len(candidates))]...)
}
