package daemonset

import (
	"fmt"
	"maps"
	"slices"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	apiVersion = "apps/v1"
	kind       = "DaemonSet"
)

// state is what a round knows.
type state struct {
	set *appsv1.DaemonSet
	*fleet
	verdicts []verdict // of nodes
	hash     string    // of the present template
	now      time.Time
	retries  backoffs

	pods     [][]*pod          // of each node
	lost     map[string][]*pod // by names that no node has
	astray   []string          // these names, sorted
	minReady time.Duration
}

// fleet are the nodes, in order of their names.
type fleet struct {
	nodes []*node
	place map[string]int // in nodes, by name
}

// fleetOf is the fleet of nodes: the last one, when these are the same objects.
func fleetOf(nodes []*node, last *fleet) *fleet {
	if last != nil && slices.Equal(nodes, last.nodes) {
		return last
	}
	f := &fleet{nodes: nodes, place: make(map[string]int, len(nodes))}
	for i, n := range nodes {
		f.place[n.Name] = i
	}
	return f
}

// newState holds nodes against the template.
func newState(set *appsv1.DaemonSet, nodes *fleet, hash string, now time.Time) *state {
	s := &state{set: set, fleet: nodes, verdicts: make([]verdict, len(nodes.nodes)), hash: hash, now: now,
		minReady: time.Duration(set.Spec.MinReadySeconds) * time.Second}
	f := newFit(set)
	for i, n := range nodes.nodes {
		s.verdicts[i] = f.judge(n)
	}
	return s
}

// sort sorts pods by their nodes. One that has come to its end and is being deleted
// is nobody's any more, nor is one of which nobody knows the node.
func (s *state) sort(pods []*pod) {
	s.pods, s.lost = make([][]*pod, len(s.nodes)), map[string][]*pod{}
	only := slices.Clone(pods) // nearly every node has one: a slice of its own would cost more than the pod
	for i, p := range pods {
		at := p.target()
		if at == "" || p.finished() && p.deleting() {
			continue
		}
		n, known := s.place[at]
		switch {
		case !known:
			s.lost[at] = append(s.lost[at], p)
		case s.pods[n] == nil:
			s.pods[n] = only[i : i+1 : i+1]
		default:
			s.pods[n] = append(s.pods[n], p)
		}
	}
	s.astray = slices.Sorted(maps.Keys(s.lost))
}

// available tells that a pod has been ready for long enough.
func (s *state) available(p *pod) bool {
	wait, ok := p.availableIn(s.minReady, s.now)
	return ok && wait == 0
}

// updated tells that a pod is of the present template.
func (s *state) updated(p *pod) bool {
	if s.hash != "" && p.hash() == s.hash {
		return true
	}
	g := generation(s.set)
	return g != "" && p.Labels[generationLabel] == g
}

// plan is what one round does.
type plan struct {
	create  []string // the nodes that get a pod
	remove  []*pod
	notes   []client.Note
	retried []string      // nodes of which a failed pod is removed
	wait    time.Duration // look again after this time; 0: when something changes
}

func (p *plan) look(after time.Duration) {
	if after > 0 && (p.wait == 0 || after < p.wait) {
		p.wait = after
	}
}

// decide is one round: nodes get the pods that they lack and lose those that do not
// belong, and only when all have theirs an update goes on. It is pure.
func decide(s *state) *plan {
	p := &plan{}
	for i, n := range s.nodes {
		s.manage(p, n.Name, s.pods[i], s.verdicts[i])
	}
	for _, at := range s.astray {
		for _, x := range s.lost[at] { // nobody else removes what waits for a node that is gone
			if x.Spec.NodeName == "" && !x.deleting() {
				p.remove = append(p.remove, x)
			}
		}
	}
	if len(p.create)+len(p.remove) == 0 && s.set.Spec.UpdateStrategy.Type == appsv1.RollingUpdateDaemonSetStrategyType {
		s.rollOut(p)
	}
	return p
}

// manage decides about the pods of one node.
func (s *state) manage(p *plan, at string, pods []*pod, v verdict) {
	switch {
	case v.run && len(pods) == 0:
		p.create = append(p.create, at)
	case v.stay:
		live := s.alive(p, at, pods)
		switch {
		case len(live) > 1 && s.surges():
			p.remove = append(p.remove, s.beyondPair(live)...)
		case len(live) > 1:
			byAge(live)
			p.remove = append(p.remove, live[1:]...)
		case len(live) == 0 && v.run && s.surges():
			p.create = append(p.create, at) // beside those that go
		}
	default:
		for _, x := range pods {
			if !x.deleting() {
				p.remove = append(p.remove, x)
			}
		}
	}
}

// alive are the pods of a node that run or will run. One that came to its end is
// removed, so that another takes its place; one that failed ever later, since its
// node may refuse the next one, too.
func (s *state) alive(p *plan, at string, pods []*pod) (live []*pod) {
	for _, x := range pods {
		switch {
		case x.deleting():
		case x.Status.Phase == corev1.PodFailed:
			if wait := s.retries.left(at, s.now); wait > 0 {
				p.look(wait)
				continue
			}
			p.retried = append(p.retried, at)
			p.notes = append(p.notes, client.Note{Warning: true, Reason: "FailedDaemonPod",
				Message: fmt.Sprintf("Found failed daemon pod %s/%s on node %s, will try to kill it", x.Namespace, x.Name, at)})
			p.remove = append(p.remove, x)
		case x.Status.Phase == corev1.PodSucceeded:
			p.notes = append(p.notes, client.Note{Reason: "SucceededDaemonPod",
				Message: fmt.Sprintf("Found succeeded daemon pod %s/%s on node %s, will try to delete it", x.Namespace, x.Name, at)})
			p.remove = append(p.remove, x)
		default:
			live = append(live, x)
		}
	}
	return live
}

// surges tells that an update may put a second pod beside the first.
func (s *state) surges() bool { return s.surge(1) > 0 }

// beyondPair are the pods of a node that has more than one while pods may surge, which
// are too many: at most one of the present template stays beside one before, and that
// one only while it is ready and the new one not yet available.
func (s *state) beyondPair(pods []*pod) (doomed []*pod) {
	byAge(pods)
	var after, before *pod
	for _, x := range pods {
		switch {
		case x.hash() == s.hash && after == nil:
			after = x
		case x.hash() != s.hash && before == nil:
			before = x
		default:
			doomed = append(doomed, x)
		}
	}
	if after != nil && before != nil && (!before.ready() || s.available(after)) {
		doomed = append(doomed, before)
	}
	return doomed
}
