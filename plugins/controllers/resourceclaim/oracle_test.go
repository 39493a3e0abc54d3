package resourceclaim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

var errCrash = errors.New("killed")

// world is a cluster in which anything may happen, with a controller that is killed
// between any two writes.
type world struct {
	t     *testing.T
	r     *rand.Rand
	s     *sdktest.Store
	api   client.Client
	seed  uint64
	pods  int
	lives int // writes that the controller still makes; negative: no limit
}

// mortal is the controller's client: what it does is judged, write by write.
type mortal struct {
	client.Client
	w *world
}

func (m *mortal) write(do func() error) error {
	w := m.w
	if w.lives == 0 {
		return errCrash
	}
	w.lives--
	before := w.claims()
	err := do()
	w.judgeWrite(before)
	return err
}

func (m *mortal) Create(o client.Object) error {
	return m.write(func() error { return m.Client.Create(o) })
}
func (m *mortal) Patch(o client.Object, p client.Patch) error {
	return m.write(func() error { return m.Client.Patch(o, p) })
}
func (m *mortal) Delete(o client.Object, d client.DeleteOptions) error {
	return m.write(func() error { return m.Client.Delete(o, d) })
}

func list[T any](w *world, into *[]*T) []*T {
	w.t.Helper()
	if err := w.api.List(into, client.ListOptions{Namespace: "default"}); err != nil {
		w.t.Fatal(err)
	}
	return *into
}

func (w *world) claims() []*claim { return list(w, &[]*claim{}) }
func (w *world) allPods() []*pod  { return list(w, &[]*pod{}) }

// live are the pods that may still use a claim, by uid.
func (w *world) live() map[string]*pod {
	out := map[string]*pod{}
	for _, p := range w.allPods() {
		if !p.done() {
			out[p.UID] = p
		}
	}
	return out
}

// judgeWrite holds one write of the controller against what it must never do.
func (w *world) judgeWrite(before []*claim) {
	w.t.Helper()
	live, now := w.live(), map[string]*claim{}
	of := map[string]string{}
	for _, c := range w.claims() {
		now[c.UID] = c
		if o := owningPod(c); o != nil && live[o.UID] != nil {
			key := o.UID + "/" + c.Annotations[annotation]
			if of[key] != "" {
				w.t.Fatalf("seed %d: %s and %s are both for %s", w.seed, of[key], c.Name, key)
			}
			of[key] = c.Name
		}
	}
	for _, was := range before {
		is := now[was.UID]
		for _, r := range was.Status.ReservedFor {
			if live[r.UID] == nil {
				continue
			}
			if is == nil || is.Status.Allocation == nil || !slices.Contains(is.Status.ReservedFor, r) {
				w.t.Fatalf("seed %d: claim %s was taken from pod %s, which lives", w.seed, was.Name, r.Name)
			}
		}
		if is == nil && was.Status.Allocation != nil && was.DeletionTimestamp == nil {
			w.t.Fatalf("seed %d: claim %s went while it was allocated", w.seed, was.Name)
		}
	}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil && !client.IsNotFound(err) {
		w.t.Fatalf("seed %d: %v", w.seed, err)
	}
}

// happen lets something happen that is not the controller's doing.
func (w *world) happen() {
	pods := w.allPods()
	var p *pod
	if len(pods) > 0 {
		p = pods[w.r.IntN(len(pods))]
	}
	switch n := w.r.IntN(12); {
	case n < 3 || p == nil:
		w.newPod()
	case n < 6:
		w.schedule(p)
	case n < 8:
		w.must(w.api.Patch(client.Clone(p), client.Patch{Data: map[string]any{"status": map[string]any{"phase": corev1.PodSucceeded}}}))
	case n < 10:
		w.end(p)
	case n == 10:
		if all := w.claims(); len(all) > 0 && w.r.IntN(3) == 0 {
			w.must(w.api.Delete(all[w.r.IntN(len(all))], client.DeleteOptions{}))
		}
	default:
		w.collect()
	}
}

func (w *world) newPod() {
	w.pods++
	// Names come again: a pod is not its name.
	p := aPod(func(p *pod) { p.Name, p.UID = fmt.Sprint("p", w.r.IntN(5)), fmt.Sprint("pod-uid-", w.pods) })
	if w.r.IntN(4) == 0 {
		p.Spec.NodeName = "n" // given a node by somebody else than the scheduler
	}
	p.Finalizers = []string{"node/runs"}
	if err := w.api.Create(p); err != nil && !client.IsAlreadyExists(err) {
		w.t.Fatal(err)
	}
}

// end deletes a pod, or removes one that is being deleted.
func (w *world) end(p *pod) {
	if p.DeletionTimestamp == nil {
		w.must(w.api.Delete(p, client.DeleteOptions{}))
		return
	}
	w.must(client.RemoveFinalizer(w.api, client.Clone(p), "node/runs"))
}

// schedule is what a scheduler does: it allocates, reserves, and binds; it may fail after
// each of these.
func (w *world) schedule(p *pod) {
	if p.Spec.NodeName != "" || p.done() || p.DeletionTimestamp != nil {
		return
	}
	for i := range p.Spec.Claims {
		of, err := claimOf(p, &p.Spec.Claims[i])
		c := &claim{}
		if err != nil || of.name == "" || w.api.Get(c, "default", of.name) != nil || c.DeletionTimestamp != nil || of.generated && isFor(p, c) != nil {
			return
		}
		w.must(client.AddFinalizer(w.api, c, finalizer))
		w.must(w.api.Patch(c, client.Patch{Data: map[string]any{"status": map[string]any{"allocation": map[string]any{}}}}))
		if w.r.IntN(6) == 0 {
			return
		}
		if !slices.ContainsFunc(c.Status.ReservedFor, func(r consumer) bool { return r.UID == p.UID }) {
			s := step{remaining: append(c.Status.ReservedFor, consumer{Resource: "pods", Name: p.Name, UID: p.UID})}
			w.must(w.api.Patch(c, client.Patch{Data: s.statusPatch(c)}))
		}
	}
	w.must(w.api.Patch(client.Clone(p), client.Patch{Data: map[string]any{"spec": map[string]any{"nodeName": "n"}}}))
}

// collect is the garbage collector.
func (w *world) collect() {
	there := map[string]bool{}
	for _, p := range w.allPods() {
		there[p.UID] = true
	}
	for _, c := range w.claims() {
		if o := owningPod(c); o != nil && !there[o.UID] && c.DeletionTimestamp == nil {
			w.must(w.api.Delete(c, client.DeleteOptions{}))
		}
	}
}

// work reconciles everything in any order.
func (w *world) work() {
	var names []string
	for _, k := range w.s.Keys() {
		if name, ok := strings.CutPrefix(k, pods+"/default/"); ok {
			names = append(names, ofPod+name)
		}
		if name, ok := strings.CutPrefix(k, claims+"/default/"); ok {
			names = append(names, name)
		}
	}
	w.r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	for _, name := range names {
		_, err := reconcile(&mortal{w.s.Client(), w}, controller.Request{Namespace: "default", Name: name})
		if err != nil && !errors.Is(err, errCrash) && !client.IsConflict(err) {
			w.t.Fatalf("seed %d: %s: %v", w.seed, name, err)
		}
		if errors.Is(err, errCrash) {
			return
		}
	}
}

// TestInvariants: never two claims for one that a pod names, none taken from a pod that
// lives; and when nothing happens any more, none is held for a pod that is gone, and each
// pod that wants one has one.
func TestInvariants(t *testing.T) {
	for seed := range uint64(60) {
		everybodys := aClaim("shared", shared)
		s, err := sdktest.NewStore(aTemplate(), everybodys)
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, r: rand.New(rand.NewPCG(seed, 11)), s: s, api: s.Client(), seed: seed}
		for range 150 {
			w.happen()
			w.lives = w.r.IntN(6)
			w.work()
		}
		w.lives = -1
		for range 6 {
			w.collect()
			w.work()
		}
		w.judge()
	}
}

func (w *world) judge() {
	live, byUID := w.live(), map[string]*pod{}
	for _, p := range w.allPods() {
		byUID[p.UID] = p
	}
	names := map[string]*claim{}
	for _, c := range w.claims() {
		names[c.Name] = c
		for _, r := range c.Status.ReservedFor {
			if live[r.UID] == nil {
				w.t.Errorf("seed %d: claim %s is held for %s, which is done", w.seed, c.Name, r.UID)
			}
		}
		if o := owningPod(c); o != nil && live[o.UID] == nil {
			w.t.Errorf("seed %d: claim %s of pod %s, which is done, is there", w.seed, c.Name, o.UID)
		}
		if c.DeletionTimestamp != nil && len(c.Status.ReservedFor) == 0 {
			w.t.Errorf("seed %d: claim %s is deleted, used by nobody, and there", w.seed, c.Name)
		}
	}
	for _, p := range live {
		if p.DeletionTimestamp != nil {
			continue
		}
		of, err := claimOf(p, &podClaim{Name: "gpu", TemplateName: ptr("t")})
		if c := names[of.name]; err != nil || c == nil || isFor(p, c) != nil {
			w.t.Errorf("seed %d: pod %s has no claim, says %q", w.seed, p.UID, of.name)
		}
		if c := names["shared"]; c != nil && c.Status.Allocation != nil && p.Spec.NodeName != "" && reservable(p, c) {
			w.t.Errorf("seed %d: pod %s has a node, and uses a claim that is not reserved for it", w.seed, p.UID)
		}
	}
}
