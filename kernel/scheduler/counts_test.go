package scheduler

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/sdk/wire"
)

// suiteHosts opens a plugin of the host suite in each host.
func suiteHosts(t testing.TB) map[string]func(name string) Plugin {
	t.Helper()
	w, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := process.New(process.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	on := func(h plugin.Host, m plugin.Module) func(string) Plugin {
		return func(name string) Plugin {
			return Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
				return h.Open(ctx, m, plugin.OpenOptions{Name: name})
			}}
		}
	}
	return map[string]func(string) Plugin{
		"native":  on(native.Host{}, plugin.Module{}),
		"process": on(p, buildGuest(t, suiteGuest, nil)),
		"wasm":    on(w, buildGuest(t, suiteGuest, []string{"GOOS=wasip1", "GOARCH=wasm"}, "-buildmode=c-shared", "-ldflags=-s -w")),
	}
}

// town is a random cluster with labels for topology, known to a cycle and to a
// naive oracle.
type town struct {
	t     *testing.T
	r     *rand.Rand
	cycle *cycle
	nodes map[string]*corev1.Node
	pods  map[types.NamespacedName]*corev1.Pod // on a node
	next  int
}

func (w *town) pick(list ...string) string { return list[w.r.IntN(len(list))] }

// count is the pods in the domain of each node that has one, computed anew from
// everything.
func (w *town) count(key string, matches func(*corev1.Pod) bool) map[string]int {
	domains := map[string]int{}
	for _, n := range w.nodes {
		if v, ok := n.Labels[key]; ok {
			domains[v] += 0
		}
	}
	for _, p := range w.pods {
		n := w.nodes[p.Spec.NodeName]
		if n == nil || !matches(p) {
			continue
		}
		if v, ok := n.Labels[key]; ok {
			domains[v]++
		}
	}
	return domains
}

// fits says which nodes take a pod, and why the others do not.
func (w *town) fits(p *corev1.Pod) (names []string, message string) {
	app, has := p.Labels["app"]
	zones := w.count("zone", func(o *corev1.Pod) bool {
		return o.Namespace == p.Namespace && o.Labels["app"] == app && o.DeletionTimestamp == nil
	})
	hosts := w.count("host", func(o *corev1.Pod) bool { return o.Labels["app"] == app })
	fewest := 0
	if len(zones) > 0 {
		fewest = slices.Min(slices.Collect(maps.Values(zones)))
	}
	reasons := map[string]int{}
	for name, n := range w.nodes {
		zone, inZone := n.Labels["zone"]
		switch host, onHost := n.Labels["host"]; {
		case has && onHost && hosts[host] > 0:
			reasons["node(s) have a pod to keep away from"]++
		case has && !inZone:
			reasons["node(s) have no zone"]++
		case has && zones[zone]+1-fewest > 1:
			reasons["node(s) would skew the zones"]++
		default:
			names = append(names, name)
		}
	}
	var list []string
	for text, n := range reasons {
		list = append(list, fmt.Sprintf("%d %s", n, text))
	}
	sort.Strings(list)
	return names, fmt.Sprintf("0/%d nodes are available: %s.", len(w.nodes), strings.Join(list, ", "))
}

func (w *town) step() {
	name := fmt.Sprint("n", w.r.IntN(14))
	switch k := w.r.IntN(20); {
	case k < 3:
		n := testNode(name, "64", "64Gi", func(n *corev1.Node) {
			n.Labels["host"] = name
			if w.r.IntN(6) > 0 {
				n.Labels["zone"] = w.pick("a", "b", "c")
			}
		})
		w.nodes[name] = n
		w.cycle.putNode(n, start)
	case k < 4 && len(w.nodes) > 2:
		delete(w.nodes, name)
		w.cycle.deleteNode(name)
	case k < 9:
		for key, p := range w.pods {
			if w.r.IntN(2) == 0 {
				delete(w.pods, key)
				w.cycle.deletePod(key, start)
				return
			}
			o := p.DeepCopy()
			if w.r.IntN(2) == 0 {
				o.Labels = map[string]string{"app": w.pick("x", "y")}
			} else {
				o.DeletionTimestamp = &metav1.Time{Time: start}
			}
			w.pods[key] = o
			w.cycle.putPod(o, start)
			return
		}
	default:
		w.place()
	}
}

func (w *town) place() {
	w.t.Helper()
	w.next++
	p := testPod(fmt.Sprint("p", w.next), "", "", func(p *corev1.Pod) {
		p.Namespace = w.pick("one", "two")
		if w.r.IntN(8) > 0 {
			p.Labels = map[string]string{"app": w.pick("x", "y", "z")}
		}
	})
	if len(w.nodes) == 0 {
		return
	}
	names, message := w.fits(p)
	w.cycle.putPod(p, start)
	d := w.cycle.next(w.t.Context(), start)
	switch {
	case d == nil:
		w.t.Fatal("no decision")
	case d.node == "" && (len(names) > 0 || d.message != message):
		w.t.Fatalf("pod %s %v: %q, want %q or one of %v", p.Name, p.Labels, d.message, message, names)
	case d.node != "" && !slices.Contains(names, d.node):
		w.t.Fatalf("pod %s %v: on %s, want one of %v", p.Name, p.Labels, d.node, names)
	case d.node == "":
		w.cycle.deletePod(d.pod.Key, start)
		return
	}
	if w.r.IntN(5) == 0 { // the binding fails
		w.cycle.rollback(d, start)
		w.cycle.deletePod(d.pod.Key, start)
		return
	}
	o := p.DeepCopy()
	o.Spec.NodeName = d.node
	w.pods[d.pod.Key] = o
	w.cycle.putPod(o, start)
}

// TestCountsAgainstOracle: filters on counts of pods by zone and by host agree
// with a new look at everything, in every host, whatever happened before.
func TestCountsAgainstOracle(t *testing.T) {
	for host, open := range suiteHosts(t) {
		t.Run(host, func(t *testing.T) {
			for seed := range uint64(6) {
				w := &town{t: t, r: rand.New(rand.NewPCG(seed, 21)), cycle: newTestCycle(t, open("suite-apart"), open("suite-spread")),
					nodes: map[string]*corev1.Node{}, pods: map[types.NamespacedName]*corev1.Pod{}}
				for range 300 {
					w.step()
				}
			}
		})
	}
}

// Verdicts that depend on counts are not asked for again while these stay, and
// are when one changes.
func TestVerdictsWithCountsAreRemembered(t *testing.T) {
	calls := 0
	p := Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
		in, err := native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: "suite-apart"})
		return counting{in, &calls}, err
	}}
	c := newTestCycle(t, p)
	for i := range 20 {
		c.putNode(testNode(fmt.Sprint("n", i), "64", "64Gi", func(n *corev1.Node) { n.Labels["host"] = n.Name }), start)
	}
	app := func(v string) func(*corev1.Pod) {
		return func(p *corev1.Pod) { p.Labels = map[string]string{"app": v} }
	}
	ask := func() {
		t.Helper()
		o := testPod("p", "", "", app("x"))
		c.putPod(o, start)
		d := c.next(t.Context(), start)
		if d == nil || d.node == "" {
			t.Fatalf("decision %+v", d)
		}
		c.rollback(d, start)
		c.deletePod(d.pod.Key, start)
	}
	ask()
	ask() // the rows that the first try touched
	calls = 0
	on := testPod("other", "", "", app("y"), func(p *corev1.Pod) { p.Spec.NodeName = "nowhere" })
	c.putPod(on, start)
	if v, _ := c.explanations.get(types.NamespacedName{Namespace: "default", Name: "p"}); v.Feasible != 20 {
		t.Errorf("%d nodes fit, want 20", v.Feasible)
	}
	taken := testPod("taken", "", "", app("x"), func(p *corev1.Pod) { p.Spec.NodeName = "n3" })
	c.putPod(taken, start)
	ask()
	if v, _ := c.explanations.get(types.NamespacedName{Namespace: "default", Name: "p"}); v.Feasible != 19 {
		t.Errorf("%d nodes fit, want 19: one is taken", v.Feasible)
	}
	if calls == 0 || calls > 3 {
		t.Errorf("%d calls for one changed row", calls)
	}
}

// counting counts the calls of an instance.
type counting struct {
	plugin.Instance
	calls *int
}

func (c counting) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	*c.calls++
	return c.Instance.Call(ctx, op, req)
}

// BenchmarkCounts is a decision with both filters, 5,000 nodes and 10,000 pods,
// where each decision changes the counts of the next.
func BenchmarkCounts(b *testing.B) {
	for host, open := range suiteHosts(b) {
		for _, name := range []string{"suite-spread", "suite-apart"} {
			b.Run(host+"/"+name, func(b *testing.B) {
				c := newTestCycle(b, open(name))
				for i := range 5000 {
					c.putNode(testNode(fmt.Sprint("n", i), "640", "640Gi", func(n *corev1.Node) {
						n.Labels["host"], n.Labels["zone"] = n.Name, fmt.Sprint(i%3)
					}), start)
				}
				on := func(i int, app string) *corev1.Pod {
					return testPod(fmt.Sprint("on-", i), "", "", func(p *corev1.Pod) {
						p.Spec.NodeName = fmt.Sprint("n", i%5000)
						p.Labels = map[string]string{"app": app}
					})
				}
				for i := range 10_000 {
					c.putPod(on(i, fmt.Sprint("other", i%50)), start)
				}
				var last []types.NamespacedName
				i, took := 0, time.Duration(0)
				for b.Loop() {
					i++
					o := testPod(fmt.Sprint("p", i), "", "", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} })
					c.putPod(o, start)
					began := time.Now()
					d := c.next(b.Context(), start)
					took += time.Since(began)
					if d == nil || d.node == "" {
						b.Fatalf("decision %+v", d)
					}
					if last = append(last, d.pod.Key); len(last) > 1000 {
						c.deletePod(last[0], start)
						last = last[1:]
					}
				}
				b.ReportMetric(float64(took.Nanoseconds())/float64(i), "ns/decision")
			})
		}
	}
}
