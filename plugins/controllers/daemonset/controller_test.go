package daemonset

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/history"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// world is a store with one DaemonSet and nodes, and its controller.
type world struct {
	*sdktest.Store
	client.Client // of the test
	as            client.Client
	r             *reconciler
	now           time.Time
	result        controller.Result
}

func newWorld(t testing.TB, set *appsv1.DaemonSet, others ...client.Object) *world {
	t.Helper()
	s, err := sdktest.NewStore(append([]client.Object{set}, others...)...)
	must(t, err)
	return &world{Store: s, Client: s.Client(), as: s.Client(), r: newReconciler(), now: time.Now()}
}

func nodesOf(names ...string) (out []client.Object) {
	for _, n := range names {
		out = append(out, newNode(n))
	}
	return out
}

func (w *world) reconcile(t testing.TB) {
	t.Helper()
	must(t, w.try())
}

func (w *world) try() (err error) {
	w.result, err = w.r.reconcile(w.as, controller.Request{Namespace: "default", Name: "agent"}, w.now)
	return err
}

func (w *world) set(t testing.TB) *appsv1.DaemonSet {
	t.Helper()
	s := &appsv1.DaemonSet{}
	must(t, w.Get(s, "default", "agent"))
	return s
}

// image gives the template another image, as the API server stores it.
func (w *world) image(t testing.TB, image string) {
	t.Helper()
	s := w.set(t)
	s.Generation++
	s.Annotations[appsv1.DeprecatedTemplateGeneration] = fmt.Sprint(s.Generation)
	s.Spec.Template.Spec.Containers[0].Image = image
	must(t, w.Update(s))
}

func (w *world) pods(t testing.TB) (out []*corev1.Pod) {
	t.Helper()
	must(t, w.List(&out, client.ListOptions{Namespace: "default"}))
	return out
}

func (w *world) revisions(t testing.TB) (out []*appsv1.ControllerRevision) {
	t.Helper()
	must(t, w.List(&out, client.ListOptions{Namespace: "default"}))
	history.Sort(out)
	return out
}

// targets are the nodes that pods are for, with their images.
func (w *world) targets(t testing.TB) string {
	t.Helper()
	var out []string
	var pods []*pod
	must(t, w.List(&pods, client.ListOptions{Namespace: "default"}))
	for i, p := range w.pods(t) {
		out = append(out, pods[i].target()+" "+p.Spec.Containers[0].Image)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// ready is what a node does with its pods.
func (w *world) ready(t testing.TB) {
	t.Helper()
	var pods []*pod
	must(t, w.List(&pods, client.ListOptions{Namespace: "default"}))
	for _, p := range pods {
		if p.Status.Phase == "" {
			w.patch(t, p, map[string]any{"spec": map[string]any{"nodeName": p.target()}, "status": map[string]any{"phase": "Running",
				"conditions": []any{map[string]any{"type": "Ready", "status": "True", "lastTransitionTime": metav1.NewTime(w.now)}}}})
		}
	}
}

func (w *world) patch(t testing.TB, p *pod, data map[string]any) {
	t.Helper()
	next := *p
	must(t, w.Patch(&next, client.Patch{Data: data}))
}

func (w *world) notes() string {
	out := strings.Join(w.Notes, "\n")
	w.Notes = nil
	return out
}

func same(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// settle reconciles and lets nodes run what they are given, until nothing changes.
func (w *world) settle(t testing.TB) {
	t.Helper()
	for range 50 {
		seen := func() string { return fmt.Sprint(w.Keys(), summary(w.set(t).Status)) }
		before := seen()
		w.reconcile(t)
		w.ready(t)
		w.reconcile(t)
		if seen() == before {
			return
		}
	}
	t.Fatal("it does not come to rest")
}

// A pod is what upstream's controller makes of a template.
func TestPod(t *testing.T) {
	w := newWorld(t, newSet(func(s *appsv1.DaemonSet) {
		tmpl := &s.Spec.Template
		tmpl.Annotations, tmpl.Finalizers = map[string]string{"a": "b"}, []string{"example.com/f"}
		tmpl.Spec.Affinity = required(corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "kubernetes.io/hostname", Operator: corev1.NodeSelectorOpExists}}})
		tmpl.Spec.Affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution = []corev1.PreferredSchedulingTerm{{Weight: 1}}
		tmpl.Spec.Affinity.PodAntiAffinity = &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{TopologyKey: "zone"}}}
		tmpl.Spec.NodeSelector = map[string]string{"kubernetes.io/hostname": "a"}
		tmpl.Spec.Tolerations = []corev1.Toleration{{Key: "mine", Operator: corev1.TolerationOpExists}}
	}), nodesOf("a", "b")...)
	w.reconcile(t)
	if len(w.pods(t)) != 1 {
		t.Fatalf("pods %s", w.targets(t))
	}
	p, rev := w.pods(t)[0], w.revisions(t)[0]
	hash := rev.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]
	same(t, "labels", p.Labels, map[string]string{"app": "agent", "controller-revision-hash": hash, "pod-template-generation": "1"})
	if rev.Name != "agent-"+hash || rev.Revision != 1 || !metav1.IsControlledBy(rev, w.set(t)) || !metav1.IsControlledBy(p, w.set(t)) || !strings.HasPrefix(p.Name, "agent-") {
		t.Errorf("revision %+v, pod %+v", rev.ObjectMeta, p.ObjectMeta)
	}
	same(t, "of the template", fmt.Sprintln(p.Annotations, p.Finalizers, p.Spec.Containers[0].Image, len(p.Spec.Tolerations), p.Spec.Tolerations[0].Key), "map[a:b] [example.com/f] one 7 mine\n")
	a, err := json.Marshal(p.Spec.Affinity)
	must(t, err)
	same(t, "affinity", string(a), `{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{"matchFields":[{"key":"metadata.name","operator":"In","values":["a"]}]}]},`+
		`"preferredDuringSchedulingIgnoredDuringExecution":[{"weight":1,"preference":{}}]},"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[{"topologyKey":"zone"}]}}`)
	same(t, "events", w.notes(), "agent SuccessfulCreate: Created pod: "+p.Name)
	s := w.set(t).Status
	same(t, "status", fmt.Sprintf("%s, observed %d, collisions %v", summary(s), s.ObservedGeneration, s.CollisionCount), "desired 1, current 1, misscheduled 0, ready 0, updated 1, available 0, unavailable 1, observed 1, collisions <nil>")
}

// TestLife: a DaemonSet comes to all nodes, follows them, is updated and brought back.
func TestLife(t *testing.T) {
	w := newWorld(t, newSet(), nodesOf("a", "b", "c")...)
	w.settle(t)
	same(t, "pods", w.targets(t), "a one, b one, c one")
	must(t, w.Create(newNode("d")))
	w.settle(t)
	same(t, "pods", w.targets(t), "a one, b one, c one, d one")
	w.image(t, "two")
	w.settle(t)
	same(t, "pods", w.targets(t), "a two, b two, c two, d two")
	same(t, "status", summary(w.set(t).Status), "desired 4, current 4, misscheduled 0, ready 4, updated 4, available 4, unavailable 0")
	w.image(t, "one")
	w.settle(t)
	same(t, "pods", w.targets(t), "a one, b one, c one, d one")
	var numbers []int64
	for _, r := range w.revisions(t) {
		numbers = append(numbers, r.Revision)
	}
	same(t, "revisions", numbers, []int64{2, 3})
	// One more look changes nothing.
	before := w.Keys()
	w.reconcile(t)
	same(t, "keys", w.Keys(), before)
}

// A failed pod is removed and told of, and the next one of its node later.
func TestFailedPods(t *testing.T) {
	w := newWorld(t, newSet(), nodesOf("a")...)
	for round, want := range []string{"", "1s", "2s"} {
		w.reconcile(t)
		var pods []*pod
		must(t, w.List(&pods, client.ListOptions{}))
		if len(pods) != 1 {
			t.Fatalf("round %d: %d pods", round, len(pods))
		}
		w.patch(t, pods[0], map[string]any{"status": map[string]any{"phase": "Failed"}})
		w.notes()
		w.reconcile(t)
		if want != "" {
			same(t, "wait", w.result.RequeueAfter.String(), want)
			same(t, "events while it waits", w.notes(), "")
			w.now = w.now.Add(w.result.RequeueAfter)
			w.reconcile(t)
		}
		same(t, "events", w.notes(), fmt.Sprintf("agent FailedDaemonPod: Found failed daemon pod default/%s on node a, will try to kill it\nagent SuccessfulDelete: Deleted pod: %s", pods[0].Name, pods[0].Name))
	}
}

// choosy is a client that lets so many pods be made.
type choosy struct {
	client.Client
	room  int
	sizes []int
}

func (c *choosy) Batch(ops []client.Op, atomic bool) ([]error, error) {
	if ops[0].Verb != client.VerbCreate {
		return c.Client.Batch(ops, atomic)
	}
	c.sizes = append(c.sizes, len(ops))
	n := min(c.room, len(ops))
	c.room -= n
	errs, err := c.Client.Batch(ops[:n], atomic)
	for range len(ops) - n {
		errs = append(errs, errors.New("exceeded quota"))
	}
	return errs, err
}

// TestSlowStart: pods are made in batches that double, and no more after one was
// refused; the status tells of what there is.
func TestSlowStart(t *testing.T) {
	var names []string
	for i := range 40 {
		names = append(names, fmt.Sprintf("n%02d", i))
	}
	w := newWorld(t, newSet(), nodesOf(names...)...)
	c := &choosy{Client: w.as, room: 9}
	w.as = c
	if err := w.try(); err == nil || !strings.Contains(err.Error(), "exceeded quota") {
		t.Errorf("error %v", err)
	}
	same(t, "batches", c.sizes, []int{1, 2, 4, 8})
	same(t, "status", summary(w.set(t).Status), "desired 40, current 9, misscheduled 0, ready 0, updated 9, available 0, unavailable 40")
	if !strings.Contains(w.notes(), "agent FailedCreate: Error creating: exceeded quota") {
		t.Error("nobody is told")
	}
	c.room, c.sizes = 100, nil
	w.reconcile(t)
	same(t, "batches", c.sizes, []int{1, 2, 4, 8, 16})
	same(t, "pods", len(w.pods(t)), 40)
}

// TestOwnership: pods and revisions that match are taken up, those that do not are let
// go of; nothing is taken while the set goes.
func TestOwnership(t *testing.T) {
	orphan := parsePods(t, "orphan@a ready")[0]
	stray := parsePods(t, "stray@b ready")[0]
	stray.Labels = map[string]string{"app": "other"}
	stray.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(newSet(), apiVersion, kind)}
	data, err := history.Data(&newSet().Spec.Template)
	must(t, err)
	rev := &appsv1.ControllerRevision{Data: data, Revision: 4}
	rev.Name, rev.Namespace, rev.Labels = "mine", "default", map[string]string{"app": "agent"}
	w := newWorld(t, newSet(onDelete), append(nodesOf("a", "b"), orphan, stray, rev)...)
	w.reconcile(t)
	got := map[string]bool{}
	for _, p := range w.pods(t) {
		if !strings.HasPrefix(p.Name, "agent-") {
			got[p.Name] = metav1.IsControlledBy(p, w.set(t))
		}
	}
	same(t, "controlled", got, map[string]bool{"orphan": true, "stray": false})
	same(t, "pods", len(w.pods(t)), 3)
	all := w.revisions(t)
	if len(all) != 1 || !metav1.IsControlledBy(all[0], w.set(t)) || hashOf(all[0]) != "mine" || all[0].Revision != 4 {
		t.Errorf("revisions %+v", all[0])
	}

	going := newSet()
	at := metav1.Now()
	going.DeletionTimestamp = &at
	w = newWorld(t, going, append(nodesOf("a"), parsePods(t, "orphan@a ready")[0])...)
	before := w.Keys()
	w.reconcile(t)
	same(t, "keys while it goes", w.Keys(), before)
}

// TestDuplicates: two revisions of one template become the newer one, and no pod is
// replaced for that.
func TestDuplicates(t *testing.T) {
	w := newWorld(t, newSet(), nodesOf("a", "b")...)
	w.settle(t)
	pods := w.targets(t)
	names := w.pods(t)
	first := w.revisions(t)[0]
	second := client.Clone(first)
	second.Name, second.UID, second.ResourceVersion, second.Revision = "agent-other", "", "", 2
	second.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = "other"
	must(t, w.Create(second))
	w.settle(t)
	all := w.revisions(t)
	if len(all) != 1 || all[0].Name != "agent-other" || all[0].Revision != 2 {
		t.Errorf("revisions %v", all)
	}
	same(t, "pods", w.targets(t), pods)
	for i, p := range w.pods(t) {
		if p.Name != names[i].Name || p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] != "other" {
			t.Errorf("pod %s with labels %v, was %s", p.Name, p.Labels, names[i].Name)
		}
	}
}

// TestCollision: a hash that is taken is passed over, and the status says so.
func TestCollision(t *testing.T) {
	set := newSet()
	data, err := history.Data(&set.Spec.Template)
	must(t, err)
	taken := &appsv1.ControllerRevision{Data: json.RawMessage(`{"spec":{"template":{}}}`), Revision: 1}
	taken.Name, taken.Namespace = history.Name("agent", history.Hash(data, 0)), "default"
	w := newWorld(t, set, append(nodesOf("a"), taken)...)
	w.settle(t)
	if n := w.set(t).Status.CollisionCount; n == nil || *n != 1 {
		t.Errorf("collisions %v", n)
	}
	same(t, "hash", w.pods(t)[0].Labels[appsv1.DefaultDaemonSetUniqueLabelKey], history.Hash(data, 1))
}

// TestHistoryLimit: the oldest revisions that no pod is of go.
func TestHistoryLimit(t *testing.T) {
	w := newWorld(t, newSet(onDelete, func(s *appsv1.DaemonSet) { two := int32(2); s.Spec.RevisionHistoryLimit = &two }), nodesOf("a")...)
	w.settle(t)
	for i := range 5 {
		w.image(t, fmt.Sprint("image-", i))
		w.settle(t)
	}
	var numbers []int64
	for _, r := range w.revisions(t) {
		numbers = append(numbers, r.Revision)
	}
	same(t, "revisions", numbers, []int64{1, 5, 6}) // the pod is of the first
}

// TestRequests: who is looked at when something changes that is nobody's.
func TestRequests(t *testing.T) {
	other := newSet()
	other.Name, other.UID, other.Spec.Selector = "other", "other", &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}
	w := newWorld(t, newSet(), other)
	name := func(q controller.Request) string {
		res, err := w.r.reconcile(w.as, q, w.now)
		must(t, err)
		return fmt.Sprint(res.Enqueue)
	}
	same(t, "a node", name(controller.Request{Name: nodes}), fmt.Sprint([]controller.Request{{Namespace: "default", Name: "agent"}, {Namespace: "default", Name: "other"}}))
	same(t, "an orphan", name(controller.Request{Namespace: "default", Labels: controller.LabelSetOf(map[string]string{"app": "other", "x": "y"})}), fmt.Sprint([]controller.Request{{Namespace: "default", Name: "other"}}))
	same(t, "one that is gone", name(controller.Request{Namespace: "default", Name: "gone"}), "[]")
}
