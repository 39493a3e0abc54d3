package replicas

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// minBatch and maxBatch bound the pods created or deleted by one reconcile; the
// rest follows in the next. A batch is no larger than what is there already,
// beyond minBatch: a template that is refused costs one small batch, and one
// that is not gets there in few rounds, each of which looks at all pods.
const (
	minBatch = 500
	maxBatch = 2000
)

// maxNotes bounds the events of one batch: beyond, a line for each pod says
// nothing more.
const maxNotes = 100

// scale moves the number of pods towards the number wanted, by one batch.
// more tells that another is needed.
func (k *Kind) scale(c client.Client, s *Set, pods []*pod, now time.Time) (left []*pod, more bool, err error) {
	n := min(max(s.Replicas-len(pods), len(pods)-s.Replicas), max(minBatch, len(pods)), maxBatch)
	switch {
	case len(pods) < s.Replicas:
		left, err = k.create(c, s, pods, n)
	case len(pods) > s.Replicas:
		left, err = k.remove(c, s, pods, n, now)
	default:
		return pods, false, nil
	}
	return left, err == nil && len(left) != s.Replicas, err
}

// create makes n pods. Where the last attempt was refused it feels its way: one,
// two, four, and so on until one is refused again.
//
// RATIONALE.md: "Why is there no slow start before something was refused?"
func (k *Kind) create(c client.Client, s *Set, pods []*pod, n int) ([]*pod, error) {
	body, err := json.Marshal(k.newPod(s))
	if err != nil {
		return pods, fmt.Errorf("encode pod: %w", err)
	}
	size := n
	if s.failing() {
		size = 1
	}
	for err == nil && n > 0 {
		size = min(size, n)
		pods, err = createBatch(c, s, pods, body, size)
		n -= size
		size *= 2
	}
	return pods, err
}

// createBatch makes n pods at once, of which each succeeds or fails by itself.
func createBatch(c client.Client, s *Set, pods []*pod, body []byte, n int) ([]*pod, error) {
	ops := make([]client.Op, n)
	for i := range ops {
		ops[i] = client.Op{Verb: client.VerbCreate, Object: &draft{body: body}, Brief: true}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	var failed error
	for i, err := range errs {
		if err != nil {
			if failed == nil {
				failed = err
			}
			continue
		}
		p := &pod{ObjectMeta: ops[i].Object.(*draft).ObjectMeta}
		p.Namespace, p.Labels = s.Namespace, s.Template.Labels // not in the brief answer
		pods = append(pods, p)
		if n <= maxNotes {
			c.Event(s.Object, client.Note{Reason: "SuccessfulCreate", Message: "Created pod: " + p.Name})
		}
	}
	switch {
	case failed == nil:
		if n > maxNotes {
			c.Event(s.Object, client.Note{Reason: "SuccessfulCreate", Message: fmt.Sprintf("Created %d pods", n)})
		}
	case !client.IsNamespaceTerminating(failed):
		c.Event(s.Object, client.Note{Warning: true, Reason: "FailedCreate", Message: "Error creating: " + failed.Error()})
	}
	return pods, failed // as it is: it becomes the message of ReplicaFailure
}

func (k *Kind) remove(c client.Client, s *Set, pods []*pod, n int, now time.Time) ([]*pod, error) {
	crowd, err := k.crowding(c, s, pods, n)
	if err != nil {
		return pods, err
	}
	doomed := choose(pods, crowd, n, now)
	ops := make([]client.Op, len(doomed))
	for i, p := range doomed {
		ops[i] = client.Op{Verb: client.VerbDelete, Object: p, Delete: client.DeleteOptions{Preconditions: client.NewUIDPreconditions(p.UID)}}
	}
	errs, err := c.Batch(ops, false)
	if err != nil {
		return pods, err
	}
	gone := make(map[*pod]bool, len(doomed))
	var failed error
	for i, err := range errs {
		if err != nil && !client.IsNotFound(err) && !client.IsConflict(err) {
			failed = err
			continue
		}
		gone[doomed[i]] = true
		if err == nil && n <= maxNotes {
			c.Event(s.Object, client.Note{Reason: "SuccessfulDelete", Message: "Deleted pod: " + doomed[i].Name})
		}
	}
	left := slices.DeleteFunc(slices.Clone(pods), func(p *pod) bool { return gone[p] })
	if failed != nil {
		c.Event(s.Object, client.Note{Warning: true, Reason: "FailedDelete", Message: "Error deleting: " + failed.Error()})
		return left, failed
	}
	if n > maxNotes {
		c.Event(s.Object, client.Note{Reason: "SuccessfulDelete", Message: fmt.Sprintf("Deleted %d pods", n)})
	}
	return left, nil
}

// crowding counts, for each node, the active pods of this set and of its siblings
// (those of the same Deployment): of two pods the one that is doubled up on its
// node goes first.
func (k *Kind) crowding(c client.Client, s *Set, pods []*pod, n int) (map[string]int, error) {
	out := map[string]int{}
	if n == len(pods) {
		return out, nil // all go, in whatever order
	}
	count(out, pods)
	owner := metav1.ControllerOf(s)
	if owner == nil {
		return out, nil
	}
	siblings, err := k.List(c, client.ListOptions{Namespace: s.Namespace, Owner: client.OwnedBy(owner.UID)})
	if err != nil {
		return nil, err
	}
	for _, o := range siblings {
		if o.UID == s.UID || o.Status.Replicas == 0 {
			continue
		}
		var theirs []*pod
		if err := c.List(&theirs, client.ListOptions{Namespace: s.Namespace, Owner: client.OwnedBy(o.UID)}); err != nil {
			return nil, err
		}
		count(out, theirs)
	}
	return out, nil
}

func count(perNode map[string]int, pods []*pod) {
	for _, p := range pods {
		if p.active() && p.Spec.NodeName != "" {
			perNode[p.Spec.NodeName]++
		}
	}
}
