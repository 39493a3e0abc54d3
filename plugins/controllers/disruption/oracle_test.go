package disruption

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	policyv1 "github.com/pintle-io/pintle/sdk/api/policy/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

var errKilled = errors.New("killed")

// world is a budget, its pods and those who evict them, in which something may happen
// between any two calls of the controller, its end included. Evictions are those of
// Kubernetes' API server, which first announces and then deletes: what holds for these
// holds for ours, which do both at once.
type world struct {
	client.Client
	*lab
	t       *testing.T
	rand    *rand.Rand
	going   map[string]time.Time // announced and to be deleted, since when
	evicted int
}

const size = 6

func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	l := newLab(t, aBudget(policyv1.PodDisruptionBudgetSpec{MinAvailable: number(3)}))
	w := &world{Client: l.c, lab: l, t: t, rand: rand.New(rand.NewPCG(seed, 0)), going: map[string]time.Time{}}
	for i := range size {
		w.must(w.c.Create(aPod(fmt.Sprint("p", i))))
	}
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// happen lets something happen, and tells whether the controller is killed by it.
func (w *world) happen() error {
	name := fmt.Sprint("p", w.rand.IntN(size))
	p := &corev1.Pod{}
	there := w.c.Get(p, ns, name) == nil
	switch w.rand.IntN(10) {
	case 0:
		return errKilled
	case 1:
		w.at = w.at.Add(time.Duration(w.rand.IntN(150)) * time.Second)
	case 2:
		b := w.budget(w.t, "b")
		b.Spec.MinAvailable, b.Generation = number(1+w.rand.IntN(size-1)), b.Generation+1
		w.must(w.c.Update(b))
	case 3, 4: // an announced pod is deleted; one that has waited too long never is
		if since, ok := w.going[name]; ok && there {
			delete(w.going, name)
			if w.at.Sub(since) < deletionTimeout {
				at := metav1.NewTime(w.at)
				p.DeletionTimestamp = &at
				w.must(w.c.Update(p))
			}
		}
	case 5, 6: // a deleted one is gone, or replaced, or gets ready
		switch {
		case !there:
			w.must(w.c.Create(aPod(name, unready)))
		case p.DeletionTimestamp != nil:
			w.must(w.c.Delete(p, client.DeleteOptions{}))
		case !p.Ready():
			p.Status = aPod(name).Status
			w.must(w.c.UpdateStatus(p))
		}
	default:
		if there && p.DeletionTimestamp == nil && p.Ready() {
			w.evict(name)
		}
	}
	return nil
}

// evict announces the deletion of a pod, if the budget allows it.
func (w *world) evict(name string) {
	b := w.budget(w.t, "b")
	if b.Status.ObservedGeneration < b.Generation || b.Status.DisruptionsAllowed <= 0 {
		return
	}
	b.Status.DisruptionsAllowed--
	if b.Status.DisruptedPods == nil {
		b.Status.DisruptedPods = map[string]metav1.Time{}
	}
	b.Status.DisruptedPods[name] = metav1.NewTime(w.at)
	w.must(w.c.UpdateStatus(b))
	w.going[name] = w.at
	w.evicted++
	if stay, needed := w.stay(), b.Spec.MinAvailable.IntValue(); stay < needed {
		w.t.Errorf("after the eviction of %s at %s %d pods are healthy and stay: %d are needed; %s, %v", name, w.at.Format(time.TimeOnly), stay, needed, show(b.Status), b.Status.DisruptedPods)
	}
}

// stay counts the pods that are ready and that nobody deletes, or still may.
func (w *world) stay() int {
	var pods []*corev1.Pod
	w.must(w.c.List(&pods, client.ListOptions{Namespace: ns}))
	n := 0
	for _, p := range pods {
		since, goes := w.going[p.Name]
		if p.Ready() && p.DeletionTimestamp == nil && (!goes || w.at.Sub(since) >= deletionTimeout) {
			n++
		}
	}
	return n
}

func (w *world) Get(obj client.Object, namespace, name string) error {
	if err := w.happen(); err != nil {
		return err
	}
	return w.Client.Get(obj, namespace, name)
}

func (w *world) List(list any, o client.ListOptions) error {
	if err := w.happen(); err != nil {
		return err
	}
	return w.Client.List(list, o)
}

func (w *world) UpdateStatus(obj client.Object) error {
	if err := w.happen(); err != nil {
		return err
	}
	if err := w.Client.UpdateStatus(obj); err != nil {
		return err
	}
	return w.happen() // written, and killed before it was told
}

// TestOracle: whatever happens between the steps of a count, and wherever it ends, no
// eviction leaves fewer pods than the budget asks for; and when nothing happens any more
// the count is right.
func TestOracle(t *testing.T) {
	evicted := 0
	for seed := range uint64(150) {
		w := newWorld(t, seed)
		q := controller.Request{Namespace: ns, Name: "b"}
		for range 40 {
			if _, err := w.reconcile(w, q); err != nil && !errors.Is(err, errKilled) && !client.IsConflict(err) {
				t.Fatal(err)
			}
			_ = w.happen() // between two counts nobody is there to be killed
		}
		w.at = w.at.Add(deletionTimeout + time.Second) // all that was announced is over
		b, _ := w.lab.count(t, "b")
		if s := b.Status; int(s.CurrentHealthy) != w.stay() || len(s.DisruptedPods) != 0 || s.ObservedGeneration != b.Generation {
			t.Errorf("seed %d: in the end %d pods stay: %s, %v", seed, w.stay(), show(s), s.DisruptedPods)
		}
		if evicted += w.evicted; t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if evicted < 200 {
		t.Errorf("only %d evictions in all", evicted)
	}
}
