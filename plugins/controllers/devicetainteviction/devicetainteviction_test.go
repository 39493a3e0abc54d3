package devicetainteviction

import (
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

// cluster is a controller with a clock of its own.
type cluster struct {
	t   *testing.T
	s   *sdktest.Store
	e   *evictor
	now time.Time
}

func start(t *testing.T, objects ...client.Object) *cluster {
	t.Helper()
	s, err := sdktest.NewStore(objects...)
	if err != nil {
		t.Fatal(err)
	}
	c := &cluster{t: t, s: s, now: now}
	c.e = newEvictor(func() time.Time { return c.now })
	return c
}

// run reconciles a request and those that it makes; it answers when the next comes back.
func (c *cluster) run(names ...string) (next time.Duration) {
	c.t.Helper()
	var queue []controller.Request
	for _, name := range names {
		q := controller.Request{Namespace: "default", Name: name}
		for _, prefix := range []string{ofRule, ofPool, ofSlices, ofStatus} {
			if strings.HasPrefix(name, prefix) {
				q.Namespace = ""
			}
		}
		queue = append(queue, q)
	}
	seen := map[controller.Request]bool{}
	for len(queue) > 0 {
		q := queue[0]
		queue = queue[1:]
		if seen[q] {
			continue
		}
		seen[q] = true
		res, err := c.e.reconcile(c.s.Client(), q)
		if err != nil {
			c.t.Fatal(err)
		}
		if res.RequeueAfter > 0 && strings.HasPrefix(q.Name, ofPod) {
			next = res.RequeueAfter
		}
		queue = append(queue, res.Enqueue...)
	}
	return next
}

func (c *cluster) there(name string) bool {
	return slices.Contains(c.s.Keys(), pods+"/default/"+name)
}

func (c *cluster) note(text string) bool {
	return slices.Contains(c.s.Notes, "p DeviceTaintManagerEviction: "+text)
}

func (c *cluster) status(name string) string {
	c.t.Helper()
	r := &rule{}
	if err := c.s.Client().Get(r, "", name); err != nil {
		c.t.Fatal(err)
	}
	x := r.conditionOf()
	if x == nil {
		return ""
	}
	return strings.TrimSpace(x.Status + " " + x.Reason + " " + x.Message)
}

func aPod(edit ...func(*pod)) *pod {
	p := &pod{}
	p.Namespace, p.Name, p.UID, p.Spec.NodeName = "default", "p", "uid-p", "a"
	p.Spec.Claims = append(p.Spec.Claims, struct {
		Name      string  `json:"name"`
		ClaimName *string `json:"resourceClaimName,omitempty"`
	}{"gpu", ptr("c")})
	for _, f := range edit {
		f(p)
	}
	return p
}

func forP(c *claim) {
	c.Status.ReservedFor = []consumer{{Resource: "pods", Name: "p", UID: "uid-p"}}
}

func tainted1(seconds time.Duration) *slice {
	return aSlice("s", 1, device{Name: "d", Taints: []taint{{Key: "a", Effect: noExecute, TimeAdded: ago(seconds)}}})
}

func TestEvicted(t *testing.T) {
	for name, x := range map[string]struct {
		pod   *pod
		claim *claim
		gone  bool
	}{
		"at once":             {aPod(), aClaim("c", has(gpu("d")), forP), true},
		"another device":      {aPod(), aClaim("c", has(gpu("e")), forP), false},
		"tolerated":           {aPod(), aClaim("c", has(gpu("d", bears("a", nil))), forP), false},
		"without a node":      {aPod(func(p *pod) { p.Spec.NodeName = "" }), aClaim("c", has(gpu("d")), forP), false},
		"not reserved for it": {aPod(func(p *pod) { p.UID = "new" }), aClaim("c", has(gpu("d")), forP), false},
		"it has ended":        {aPod(func(p *pod) { p.Status.Phase = corev1.PodSucceeded }), aClaim("c", has(gpu("d")), forP), false},
		"of an unnamed claim": {aPod(func(p *pod) { p.Spec.Claims = nil }), aClaim("c", has(gpu("d")), forP), false},
		"for extended resources": {aPod(func(p *pod) {
			p.Spec.Claims = nil
			p.Status.Extended = &struct {
				ClaimName string `json:"resourceClaimName"`
			}{"c"}
		}), aClaim("c", has(gpu("d")), forP, func(c *claim) {
			c.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(aPod(), "v1", "Pod")}
		}), true},
	} {
		t.Run(name, func(t *testing.T) {
			c := start(t, x.pod, x.claim, tainted1(0))
			c.run("c", ofPod+"p")
			if c.there("p") == x.gone || c.note("Marking for deletion") != x.gone {
				t.Errorf("there %v, events %q", c.there("p"), c.s.Notes)
			}
		})
	}
}

// TestMarked: whoever counts the pod, and finds it held, reads why it goes.
func TestMarked(t *testing.T) {
	c := start(t, aPod(func(p *pod) { p.Finalizers = []string{"x"} }), aClaim("c", has(gpu("d")), forP), tainted1(0))
	c.run("c")
	c.run("c") // once is enough
	p := &pod{}
	if err := c.s.Client().Get(p, "default", "p"); err != nil {
		t.Fatal(err)
	}
	x := p.Status.Conditions
	if p.DeletionTimestamp == nil || len(x) != 1 || x[0].Type != corev1.DisruptionTarget || x[0].Status != corev1.ConditionTrue ||
		x[0].Reason != "DeletionByDeviceTaintManager" || x[0].Message != "Device Taint manager: deleting due to NoExecute taint" || len(c.s.Notes) != 1 {
		t.Errorf("deleted %v, conditions %+v, events %q", p.DeletionTimestamp, x, c.s.Notes)
	}
}

// TestWaits: a pod stays as long as its claim tolerates the taint; it is told when it is
// not to go after all.
func TestWaits(t *testing.T) {
	claim := aClaim("c", has(gpu("d", bears("a", ptr(int64(60))))), forP)
	c := start(t, aPod(), claim, tainted1(20*time.Second))
	if next := c.run("c"); next != 40*time.Second || !c.there("p") {
		t.Fatalf("back in %v, there %v", next, c.there("p"))
	}
	healed := aSlice("s", 1, device{Name: "d"})
	if err := c.s.Client().Update(healed); err != nil {
		t.Fatal(err)
	}
	c.run(ofPool + "gpu.example.com/a")
	if !c.note("Cancelling deletion") || !c.there("p") {
		t.Fatalf("events %q", c.s.Notes)
	}
	c.now = c.now.Add(time.Hour)
	if c.run(ofPod + "p"); !c.there("p") || len(c.s.Notes) != 1 {
		t.Fatalf("events %q", c.s.Notes)
	}
	// A newer generation of the pool, which is gone again.
	old := tainted1(0)
	if err := c.s.Client().Update(old); err != nil {
		t.Fatal(err)
	}
	newer := aSlice("s2", 2, device{Name: "d"})
	if err := c.s.Client().Create(newer); err != nil {
		t.Fatal(err)
	}
	if c.run(ofSlices+"gpu.example.com/a", "c"); !c.there("p") || len(c.e.waiting) != 0 {
		t.Fatal("a taint of an old generation counts")
	}
	if err := c.s.Client().Delete(newer, client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if c.run(ofSlices + "gpu.example.com/a"); c.there("p") {
		t.Error("the taint does not count")
	}
}

// TestRule: what a rule does stands in its status.
func TestRule(t *testing.T) {
	r := aRule("r", func(r *rule) { r.Spec.Taint = taint{Key: "a", Effect: none, TimeAdded: ago(0)} })
	c := start(t, r, aPod(), aClaim("c", has(gpu("d", bears("a", ptr(int64(60))))), forP), aSlice("s", 1, device{Name: "d"}, device{Name: "e"}))
	c.run(ofRule + "r")
	if got := c.status("r"); !strings.HasPrefix(got, "False NoEffect 2 published devices selected. 1 allocated device selected. 1 pod would be evicted in 1 namespace if") {
		t.Fatalf("status %q", got)
	}
	edit := func(f func(*rule)) {
		r := &rule{}
		if err := c.s.Client().Get(r, "", "r"); err != nil {
			t.Fatal(err)
		}
		f(r)
		r.Generation++
		if err := c.s.Client().Update(r); err != nil {
			t.Fatal(err)
		}
		c.run(ofRule + "r")
	}
	edit(func(r *rule) { r.Spec.Taint.Effect = noExecute })
	if got := c.status("r"); got != "True PodsPendingEviction 1 pod needs to be evicted in 1 namespace." || len(c.e.waiting) != 1 {
		t.Fatalf("status %q, waiting %v", got, c.e.waiting)
	}
	// It is about another device now: the pod may stay.
	edit(func(r *rule) { r.Spec.Selector.Device = ptr("e") })
	if got := c.status("r"); got != "False NotStarted" || !c.note("Cancelling deletion") {
		t.Fatalf("status %q, events %q", got, c.s.Notes)
	}
	edit(func(r *rule) { r.Spec.Selector.Device = ptr("d") })
	c.now = c.now.Add(time.Minute)
	c.run(ofPod + "p")
	if c.there("p") {
		t.Fatal("the time is over, and the pod is there")
	}
	if got := c.status("r"); got != "False Completed 1 pod evicted since starting the controller." {
		t.Fatalf("status %q", got)
	}
	if err := c.s.Client().Delete(r, client.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if c.run(ofRule + "r"); len(c.e.evicted) != 0 {
		t.Errorf("of a rule that is gone is remembered: %v", c.e.evicted)
	}
}

func TestParsePool(t *testing.T) {
	if got := parsePool("gpu.example.com/a/b"); got != (pool{"gpu.example.com", "a/b"}) {
		t.Errorf("%+v", got)
	}
}
