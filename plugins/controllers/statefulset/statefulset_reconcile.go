package statefulset

import (
	"cmp"
	"slices"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const (
	apiVersion = "apps/v1"
	kind       = "StatefulSet"
)

// minBatch and maxBatch bound the pods that one round makes or removes when the
// set allows many at once; the rest follows in the next. A batch is no larger
// than what is there already, beyond minBatch: a template that is refused costs
// one small batch.
const (
	minBatch = 500
	maxBatch = 2000
)

// state is what a round knows.
type state struct {
	set    *appsv1.StatefulSet
	pods   []*pod            // its own, of any ordinal
	claims map[string]*claim // by name: those of claimNames that there are
	// current and update are the names of the revisions between which the set is.
	current, update string
	collisions      int32
	now             time.Time
}

// verb is what is done about a pod.
type verb string

const (
	create  verb = "create"
	update  verb = "update"
	remove  verb = "delete"
	prepare verb = "prepare" // its claims alone
)

// action is what is done about one pod: claims that it lacks first, then the pod,
// then the owners of claims that there are.
type action struct {
	verb     verb
	name     string
	ordinal  int
	pod      *pod   // as it was read; nil when it is to be made
	revision string // of which it is to be made
	missing  []int  // claims to make, by the index of their template
	owners   []reowned
	// labels and volumes are what an update writes.
	labels  map[string]string
	volumes []volume
	// held is a claim that is being deleted: until it is gone, nothing is done.
	held string
	// foreign are claims that somebody else controls.
	foreign []string
}

// reowned is a claim with other owners.
type reowned struct {
	claim *claim
	refs  []metav1.OwnerReference
}

// plan is what one round does: groups of actions, one after the other, until one
// fails. The actions of a group are done at once.
type plan struct {
	groups [][]action
	status appsv1.StatefulSetStatus
	again  time.Duration // look again after this time; 0: when something changes
	more   bool          // a batch was cut: another round follows
}

// round is a plan in the making.
type round struct {
	*state
	plan
	inside    []*pod // whom the set asks for, by ordinal
	condemned []*pod // whom it does not, the highest ordinal first
	minReady  time.Duration
	ordered   bool         // one at a time, and none before its predecessors
	doomed    map[int]bool // removed in this round
}

// makePlan decides one round from what is there. It is pure. The phases are
// upstream's: the pods that are wanted come first, then those that are not, then
// the update of those that are there; in order, each waits for the one before.
func makePlan(st *state) *plan {
	r := &round{state: st, doomed: map[int]bool{},
		minReady: time.Duration(st.set.Spec.MinReadySeconds) * time.Second,
		ordered:  st.set.Spec.PodManagementPolicy != appsv1.ParallelPodManagement}
	for _, p := range st.pods {
		n, ok := p.ordinal(st.set)
		switch {
		case !ok:
			continue
		case inRange(st.set, n):
			r.inside = append(r.inside, p)
		default:
			r.condemned = append(r.condemned, p)
		}
	}
	slices.SortFunc(r.inside, func(a, b *pod) int { return cmp.Compare(r.ordinal(a), r.ordinal(b)) })
	slices.SortFunc(r.condemned, func(a, b *pod) int { return cmp.Compare(r.ordinal(b), r.ordinal(a)) })
	r.status = r.count()
	if st.set.DeletionTimestamp == nil { // else the garbage collector takes it from here
		_ = r.wantedPods() && r.condemnedClaims() && r.condemnedPods() && r.rollingUpdate()
	}
	r.complete()
	return &r.plan
}

// ordinal is that of a pod of the round.
func (r *round) ordinal(p *pod) int {
	n, _ := p.ordinal(r.set)
	return n
}

func (r *round) available(p *pod) bool {
	wait, ok := p.availableIn(r.minReady, r.now)
	return ok && wait == 0
}

// unavailable counts against the budget of an update.
func (r *round) unavailable(p *pod) bool { return !r.available(p) || p.deleting() }

// do adds actions that may be done at once. What is done in order makes a group
// of each.
func (r *round) do(actions ...action) {
	switch {
	case len(actions) == 0:
	case r.ordered:
		for _, a := range actions {
			r.groups = append(r.groups, []action{a})
		}
	default:
		r.groups = append(r.groups, actions)
	}
}

// batch is how many pods may be made or removed at once.
func (r *round) batch() int { return min(max(minBatch, len(r.pods)), maxBatch) }

func (r *round) removal(p *pod) *action {
	n := r.ordinal(p)
	r.doomed[n] = true
	return &action{verb: remove, name: p.Name, ordinal: n, pod: p}
}

// condemnedClaims gives the claims of pods that go to those pods, if they are to
// go with them.
func (r *round) condemnedClaims() bool {
	var actions []action
	for _, p := range r.condemned {
		if a := r.prepared(r.ordinal(p), p, prepare); len(a.owners) > 0 {
			actions = append(actions, *a)
		}
	}
	r.do(actions...)
	return true
}

// condemnedPods removes the pods that are not wanted; in order, the last first,
// and while another one is unwell none but the one that is.
func (r *round) condemnedPods() bool {
	var actions []action
	for _, p := range r.condemned {
		if r.ordered {
			if p.deleting() || r.othersUnwell(p) {
				return false
			}
			r.do(*r.removal(p))
			return false
		}
		if p.deleting() {
			continue
		}
		if len(actions) == r.batch() {
			r.more = true
			break
		}
		actions = append(actions, *r.removal(p))
	}
	r.do(actions...)
	return !r.more
}

// othersUnwell tells that the pod that would go is not well, and that another one
// of a lower ordinal is not well either.
func (r *round) othersUnwell(p *pod) bool {
	if p.runningAndReady() && r.available(p) {
		return false
	}
	for _, x := range slices.Backward(r.condemned) { // the wanted ones are well, or it would not have come to this
		if r.unavailable(x) {
			return x != p
		}
	}
	return true
}
