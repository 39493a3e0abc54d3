package deployment

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// world is a Deployment, its ReplicaSets, and the controller of those: pods
// are numbers here, made and removed at once and available after a while.
type world struct {
	d       *appsv1.Deployment
	sets    []*appsv1.ReplicaSet
	made    int
	now     time.Time
	broken  string // image whose pods never become available
	removed int
}

func newWorld(replicas int32, surge, unavailable intstr.IntOrString) *world {
	labels := map[string]string{"app": "web"}
	limit, deadline := int32(10), int32(600)
	d := &appsv1.Deployment{}
	d.Name, d.Namespace, d.UID, d.Generation = "web", "default", "d", 1
	d.Spec = appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, RevisionHistoryLimit: &limit, ProgressDeadlineSeconds: &deadline}
	d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &surge, MaxUnavailable: &unavailable}}
	d.Spec.Template.Labels = labels
	w := &world{d: d, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	w.image("one")
	return w
}

func (w *world) image(name string) {
	w.d.Spec.Template.Annotations = map[string]string{"image": name}
	w.d.Generation++
}

func (w *world) resize(n int32) {
	w.d.Spec.Replicas = &n
	w.d.Generation++
}

// round plans once and carries the plan out; it tells whether anything was
// done.
func (w *world) round(t testing.TB) bool {
	t.Helper()
	w.now = w.now.Add(time.Second)
	old := 0
	if current := findNew(w.d, w.sets); w.d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		for _, rs := range w.sets {
			if rs != current {
				old += int(rs.Status.Replicas)
			}
		}
	}
	p, err := makePlan(w.d, w.sets, old, w.now)
	if err != nil {
		t.Fatal(err)
	}
	busy := p.create != nil || len(p.update) > 0 || len(p.remove) > 0 || !sameStatus(w.d.Status, p.status)
	if p.create != nil {
		w.made++
		p.create.UID = "rs" + strconv.Itoa(w.made)
		p.create.CreationTimestamp = metav1.NewTime(w.now)
		p.create.Generation = 1
		w.sets = append(w.sets, p.create)
	}
	for _, u := range p.update {
		for i, rs := range w.sets {
			if rs.UID == u.set.UID {
				u.set.Generation++
				w.sets[i] = u.set
			}
		}
	}
	for _, gone := range p.remove {
		for i, rs := range w.sets {
			if rs.UID == gone.UID {
				if *rs.Spec.Replicas != 0 || rs.Status.Replicas != 0 {
					t.Fatalf("removes set %s of %d pods", rs.Name, rs.Status.Replicas)
				}
				w.sets = append(w.sets[:i], w.sets[i+1:]...)
				w.removed++
				break
			}
		}
	}
	if p.annotateRevision != "" {
		w.d.Annotations = map[string]string{revisionAnnotation: p.annotateRevision}
	}
	w.d.Status = p.status
	return busy
}

// serve is the ReplicaSet controller and the nodes: the set's pods follow its
// scale, of those that go the unavailable first; up to grow more become
// available.
func (w *world) serve(i, grow int) (busy bool) {
	rs := client.Clone(w.sets[i])
	was := rs.Status
	n := *rs.Spec.Replicas
	rs.Status.Replicas, rs.Status.ObservedGeneration = n, rs.Generation
	rs.Status.AvailableReplicas = min(was.AvailableReplicas, n)
	if rs.Spec.Template.Annotations["image"] != w.broken {
		rs.Status.AvailableReplicas = min(n, rs.Status.AvailableReplicas+int32(grow))
	}
	rs.Status.ReadyReplicas = rs.Status.AvailableReplicas
	w.sets[i] = rs
	return !(was.Replicas == rs.Status.Replicas && was.AvailableReplicas == rs.Status.AvailableReplicas && was.ObservedGeneration == rs.Status.ObservedGeneration)
}

// truth counts the pods that are really available: a status may lag behind the
// scale of its set, but never shows more than there were.
func (w *world) truth() (total, available int32) {
	for _, rs := range w.sets {
		total += *rs.Spec.Replicas
		available += min(rs.Status.AvailableReplicas, *rs.Spec.Replicas)
	}
	return total, available
}

// converge runs everything until nothing moves; check, when set, is asked after
// every step.
func (w *world) converge(t testing.TB, r *rand.Rand, check func(step string)) {
	t.Helper()
	quiet := 0
	for step := range 5000 {
		busy := false
		if r == nil || r.IntN(2) == 0 {
			busy = w.round(t)
			if check != nil {
				check(fmt.Sprint("round ", step))
			}
		}
		for i := range w.sets {
			if r != nil && r.IntN(3) == 0 {
				busy = true // it has not looked yet
				continue
			}
			grow := 1000
			if r != nil {
				grow = r.IntN(3)
				busy = true
			}
			busy = w.serve(i, grow) || busy
		}
		if r != nil && step > 400 {
			r = nil // time to come to an end
		}
		if busy {
			quiet = 0
		} else if quiet++; quiet == 3 {
			return
		}
	}
	t.Fatalf("does not come to rest: %+v", w.d.Status)
}

func (w *world) byImage() map[string]int32 {
	out := map[string]int32{}
	for _, rs := range w.sets {
		if *rs.Spec.Replicas > 0 {
			out[rs.Spec.Template.Annotations["image"]] += *rs.Spec.Replicas
		}
	}
	return out
}

func bound(r *rand.Rand, replicas int) intstr.IntOrString {
	if r.IntN(2) == 0 {
		return intstr.FromString(strconv.Itoa(r.IntN(101)) + "%")
	}
	return intstr.FromInt(r.IntN(replicas + 1))
}

// TestRollingUpdateKeepsItsBounds rolls out under random bounds, with
// controllers that look whenever they like: never fewer pods are available
// than promised, never more exist than allowed, and it comes to its end.
func TestRollingUpdateKeepsItsBounds(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		replicas := 1 + r.IntN(30)
		w := newWorld(int32(replicas), bound(r, replicas), bound(r, replicas))
		w.converge(t, nil, nil)
		limits := &round{d: w.d, replicas: int32(replicas)}
		if err := limits.bounds(); err != nil {
			t.Fatal(err)
		}
		w.image("two")
		stop := 50 + r.IntN(50)
		images := []string{"three", "one"}
		w.converge(t, r, func(step string) {
			total, available := w.truth()
			if total > limits.replicas+limits.surge || available < limits.replicas-limits.unavail {
				t.Fatalf("seed %d, %s: %d pods, %d available; bounds are %d and %d", seed, step, total, available,
					limits.replicas+limits.surge, limits.replicas-limits.unavail)
			}
			if stop--; stop == 0 && len(images) > 0 { // another rollout on top of the first
				w.image(images[0])
				images, stop = images[1:], 30
			}
		})
		want := w.d.Spec.Template.Annotations["image"]
		if got := w.byImage(); len(got) != 1 || got[want] != int32(replicas) {
			t.Fatalf("seed %d: pods by image = %v, want %d of %s", seed, got, replicas, want)
		}
		if c := find(w.d.Status.Conditions, appsv1.DeploymentProgressing); c == nil || c.Reason != available {
			t.Fatalf("seed %d: progressing = %+v", seed, c)
		}
	}
}

// TestConvergesFromAnywhere begins with ReplicaSets of any sizes, statuses and
// annotations.
func TestConvergesFromAnywhere(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		replicas := r.IntN(20)
		w := newWorld(int32(replicas), bound(r, replicas), bound(r, replicas))
		if r.IntN(4) == 0 {
			w.d.Spec.Strategy = appsv1.DeploymentStrategy{Type: appsv1.RecreateDeploymentStrategyType}
		}
		for i := range r.IntN(5) {
			w.image(fmt.Sprint("image", i))
			p, err := makePlan(w.d, nil, 0, w.now.Add(time.Duration(i)*time.Minute))
			if err != nil {
				t.Fatal(err)
			}
			rs := p.create
			n := int32(r.IntN(20))
			rs.UID, rs.Spec.Replicas, rs.CreationTimestamp, rs.Generation = fmt.Sprint("any", i), &n, metav1.NewTime(w.now.Add(time.Duration(i)*time.Minute)), 1
			rs.Status = appsv1.ReplicaSetStatus{Replicas: n, AvailableReplicas: int32(r.IntN(int(n) + 1)), ObservedGeneration: 1}
			switch r.IntN(3) {
			case 0:
				rs.Annotations = nil
			case 1:
				rs.Annotations[desiredAnnotation], rs.Annotations[maxAnnotation] = strconv.Itoa(r.IntN(20)), strconv.Itoa(r.IntN(20))
				rs.Annotations[revisionAnnotation] = strconv.Itoa(r.IntN(9))
			}
			w.sets = append(w.sets, rs)
		}
		w.converge(t, r, func(string) {
			if r.IntN(40) == 0 {
				w.resize(int32(r.IntN(20)))
			}
			if r.IntN(40) == 0 {
				w.d.Spec.Paused = !w.d.Spec.Paused
			}
		})
		w.d.Spec.Paused = false
		w.d.Generation++
		w.converge(t, nil, nil)
		n := *w.d.Spec.Replicas
		got := w.byImage()
		if total, up := w.truth(); total != n || up != n || n > 0 && got[w.d.Spec.Template.Annotations["image"]] != n {
			t.Fatalf("seed %d: %d pods, %d available, %v, want %d", seed, total, up, got, n)
		}
		if w.round(t) {
			t.Fatalf("seed %d: a round at rest does something", seed)
		}
	}
}
