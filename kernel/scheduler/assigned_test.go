package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/sdk/wire"
)

// village is nodes and pods that come, change and go, known to a cycle and to a
// naive oracle of the plugins alone, victims and elder.
type village struct {
	t      *testing.T
	r      *rand.Rand
	cycle  *cycle
	open   map[string]Plugin
	failed bool // an instance gave no answer
	nodes  map[string]*corev1.Node
	pods   map[types.NamespacedName]*corev1.Pod // on a node
	next   int
}

func newVillage(t *testing.T, seed uint64, open func(string) Plugin) *village {
	v := &village{t: t, r: rand.New(rand.NewPCG(seed, 34)), cycle: newTestCycle(t, open("suite-alone")), open: map[string]Plugin{},
		nodes: map[string]*corev1.Node{}, pods: map[types.NamespacedName]*corev1.Pod{}}
	for _, name := range []string{"suite-alone", "suite-victims", "suite-elder"} {
		p := open(name)
		reliable := p.Open
		p.Open = func(ctx context.Context) (plugin.Instance, error) {
			in, err := reliable(ctx)
			return unreliable{in, v}, err
		}
		v.open[name] = p
		v.restart(name)
	}
	if err := v.cycle.setPlugin("plugin-0", nil); err != nil {
		t.Fatal(err)
	}
	return v
}

// restart puts a new instance in the place of one.
func (v *village) restart(name string) {
	v.t.Helper()
	in, err := evaluate.Open(v.t.Context(), name, v.open[name], nil)
	if err != nil {
		v.t.Fatal(err)
	}
	if err := v.cycle.setPlugin(name, in); err != nil {
		v.t.Fatal(err)
	}
}

// unreliable is an instance that traps now and then, or loses half of its
// region.
type unreliable struct {
	plugin.Instance
	v *village
}

func (u unreliable) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	if op >= wire.OpScheduling+2 && u.v.r.IntN(150) == 0 {
		u.v.failed = true
		return nil, wire.Errorf(wire.KindTrap, "unreachable")
	}
	return u.Instance.Call(ctx, op, req)
}

func (u unreliable) Region() []byte {
	b := u.Instance.Region()
	if len(b) > 0 && u.v.r.IntN(150) == 0 {
		u.v.failed = true
		return b[:len(b)/2]
	}
	return b
}

func (v *village) pick(list ...string) string { return list[v.r.IntN(len(list))] }

func (v *village) newPod() *corev1.Pod {
	v.next++
	return testPod(fmt.Sprint("p", v.next), fmt.Sprint(v.r.IntN(3)+1), "1Gi", func(p *corev1.Pod) {
		p.Namespace = v.pick("one", "two")
		p.Labels = map[string]string{}
		if v.r.IntN(4) > 0 {
			p.Labels["app"] = v.pick("x", "y", "z", "")
		}
		if v.r.IntN(3) == 0 {
			p.Labels["tier"] = v.pick("young", "old")
		}
		priority := int32(v.r.IntN(4) - 1)
		p.Spec.Priority = &priority
		if v.r.IntN(4) == 0 {
			never := corev1.PreemptNever
			p.Spec.PreemptionPolicy = &never
		}
		if v.r.IntN(3) == 0 {
			p.Spec.Containers[0].Ports = []corev1.ContainerPort{{HostPort: int32(v.r.IntN(3000) + 1)}}
		}
		if v.r.IntN(5) == 0 {
			p.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				TopologyKey: v.pick("zone", "kubernetes.io/hostname"), LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": v.pick("x", "y")}}}}}}
		}
		if v.r.IntN(4) == 0 {
			p.Spec.Containers[0].Resources.Requests["example.com/gpu"] = resource.MustParse("1")
		}
	})
}

// elder is the node that the plugin elder refuses.
func (v *village) elder() (node string) {
	var first time.Time
	var lowest int32
	for _, p := range v.pods {
		ports := p.Spec.Containers[0].Ports
		if v.nodes[p.Spec.NodeName] == nil || p.Status.StartTime == nil || len(ports) == 0 || p.Spec.PreemptionPolicy != nil || p.Labels["tier"] == "young" {
			continue
		}
		at := p.Status.StartTime.Time
		if node == "" || at.Before(first) || at.Equal(first) && ports[0].HostPort < lowest {
			node, first, lowest = p.Spec.NodeName, at, ports[0].HostPort
		}
	}
	return node
}

// fits says which nodes are the best for a pod, and why the others are not.
func (v *village) fits(p *corev1.Pod) (best []string, message string) {
	reasons := map[string]int{}
	fewest, elder := 0, v.elder()
	for name, n := range v.nodes {
		alone, repelled, victims := true, false, 0
		cpu, memory := n.Status.Allocatable.Cpu().MilliValue(), n.Status.Allocatable.Memory().Value()
		for _, o := range append([]*corev1.Pod{p}, v.on(name)...) {
			app, has := o.Labels["app"]
			q := o.Spec.Containers[0].Resources.Requests
			if _, gpu := q["example.com/gpu"]; o != p && *o.Spec.Priority < *p.Spec.Priority && !gpu {
				victims++
			} else {
				cpu, memory = cpu-q.Cpu().MilliValue(), memory-q.Memory().Value()
			}
			if want, ok := p.Labels["app"]; o != p && has && ok && app == want && o.Namespace == p.Namespace && o.DeletionTimestamp == nil {
				alone = false
			}
			if o != p && o.Spec.Affinity != nil {
				t := o.Spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0]
				own, ok := p.Labels["app"]
				repelled = repelled || ok && t.TopologyKey != "zone" && t.LabelSelector.MatchLabels["app"] == own
			}
		}
		switch {
		case !alone:
			reasons["node(s) have a pod of the app"]++
		case repelled:
			reasons["node(s) have a pod that keeps the app away"]++
		case cpu < 0 || memory < 0:
			reasons["node(s) have no room without the pods of lower priority"]++
		case name == elder:
			reasons["node(s) have the oldest pod"]++
		default:
			if len(best) == 0 || victims < fewest {
				best, fewest = nil, victims
			}
			if victims == fewest {
				best = append(best, name)
			}
		}
	}
	var list []string
	for text, n := range reasons {
		list = append(list, fmt.Sprintf("%d %s", n, text))
	}
	sort.Strings(list)
	return best, fmt.Sprintf("0/%d nodes are available: %s.", len(v.nodes), strings.Join(list, ", "))
}

// on are the pods on a node.
func (v *village) on(node string) (list []*corev1.Pod) {
	for _, p := range v.pods {
		if p.Spec.NodeName == node {
			list = append(list, p)
		}
	}
	return list
}

func (v *village) step() {
	name := fmt.Sprint("n", v.r.IntN(8))
	switch k := v.r.IntN(24); {
	case k < 3:
		v.nodes[name] = testNode(name, "6", "64Gi")
		v.cycle.putNode(v.nodes[name], start)
	case k < 4 && len(v.nodes) > 2:
		delete(v.nodes, name)
		v.cycle.deleteNode(name)
	case k < 12:
		for key, p := range v.pods {
			v.change(key, p.DeepCopy())
			return
		}
	case k < 13:
		v.restart(v.pick("suite-alone", "suite-victims", "suite-elder"))
	default:
		v.place()
	}
}

// change lets a pod go or takes in a new state of it.
func (v *village) change(key types.NamespacedName, o *corev1.Pod) {
	switch v.r.IntN(5) {
	case 0, 1:
		delete(v.pods, key)
		v.cycle.deletePod(key, start)
		return
	case 2:
		o.Labels = map[string]string{"app": v.pick("x", "y")}
	case 3:
		o.Status.StartTime = &metav1.Time{Time: start.Add(time.Duration(v.r.IntN(100)) * time.Second)}
	case 4:
		o.DeletionTimestamp = &metav1.Time{Time: start}
	}
	v.pods[key] = o
	v.cycle.putPod(o, start)
}

func (v *village) place() {
	v.t.Helper()
	p := v.newPod()
	if len(v.nodes) == 0 {
		return
	}
	best, message := v.fits(p)
	v.cycle.putPod(p, start)
	v.failed = false
	d := v.cycle.next(v.t.Context(), start)
	switch {
	case d == nil:
		v.t.Fatal("no decision")
	case v.failed && d.node == "":
	case d.node == "" && (len(best) > 0 || d.message != message):
		v.t.Fatalf("pod %s %v: %q, want %q or one of %v", p.Name, p.Labels, d.message, message, best)
	case d.node != "" && !slices.Contains(best, d.node):
		v.t.Fatalf("pod %s %v: on %s, want one of %v", p.Name, p.Labels, d.node, best)
	}
	if d.node == "" {
		v.cycle.deletePod(d.pod.Key, start)
		return
	}
	if v.r.IntN(5) == 0 { // the binding fails
		v.cycle.rollback(d, start)
		v.cycle.deletePod(d.pod.Key, start)
		return
	}
	o := p.DeepCopy()
	o.Spec.NodeName = d.node
	v.pods[d.pod.Key] = o
	v.cycle.putPod(o, start)
}

// TestPodColumnsAgainstOracle: plugins that look at the pods on nodes see what is
// there, in every host, whatever happened before and however often they failed.
func TestPodColumnsAgainstOracle(t *testing.T) {
	for host, open := range suiteHosts(t) {
		t.Run(host, func(t *testing.T) {
			for seed := range uint64(4) {
				v := newVillage(t, seed, open)
				for range 250 {
					v.step()
				}
				for name := range v.open {
					if err := v.cycle.setPlugin(name, nil); err != nil {
						t.Fatal(err)
					}
				}
				if v.cycle.cache.Table().Pods().Kept() {
					t.Error("pods are kept for plugins that are gone")
				}
			}
		})
	}
}

// A verdict about the pods of one node stays until one of these changes.
func TestVerdictsAboutPodsAreRemembered(t *testing.T) {
	calls := 0
	c := newTestCycle(t, Plugin{Open: func(ctx context.Context) (plugin.Instance, error) {
		in, err := native.Host{}.Open(ctx, plugin.Module{}, plugin.OpenOptions{Name: "suite-alone"})
		return counting{in, &calls}, err
	}})
	for i := range 20 {
		c.putNode(testNode(fmt.Sprint("n", i), "64", "64Gi"), start)
	}
	app := func(p *corev1.Pod) { p.Labels = map[string]string{"app": "x"} }
	ask := func(want int) {
		t.Helper()
		c.putPod(testPod("p", "", "", app), start)
		d := c.next(t.Context(), start)
		if d == nil || d.node == "" {
			t.Fatalf("decision %+v", d)
		}
		if v, _ := c.explanations.get(d.pod.Key); v.Feasible != want {
			t.Errorf("%d nodes fit, want %d", v.Feasible, want)
		}
		c.rollback(d, start)
		c.deletePod(d.pod.Key, start)
	}
	ask(20)
	ask(20)
	calls = 0
	ask(20) // the row that the last try touched
	if calls > 1 {
		t.Errorf("%d calls for one changed row", calls)
	}
	o := testPod("o", "", "", app, func(p *corev1.Pod) { p.Spec.NodeName = "n3" })
	c.putPod(o, start)
	ask(19)
	o = o.DeepCopy()
	o.DeletionTimestamp = &metav1.Time{Time: start}
	c.putPod(o, start)
	ask(20)
}

// BenchmarkPodColumns is a decision of a filter that looks at the pods of each
// node, 5,000 nodes and 100,000 pods.
func BenchmarkPodColumns(b *testing.B) {
	for host, open := range suiteHosts(b) {
		for _, name := range []string{"suite-alone", "suite-elder"} {
			b.Run(host+"/"+name, func(b *testing.B) {
				c := newTestCycle(b, open(name))
				for i := range 5000 {
					c.putNode(testNode(fmt.Sprint("n", i), "640", "640Gi"), start)
				}
				for i := range 100_000 {
					c.putPod(testPod(fmt.Sprint("on-", i), "", "", func(p *corev1.Pod) {
						p.Spec.NodeName, p.Labels = fmt.Sprint("n", i%5000), map[string]string{"app": fmt.Sprint("other", i%50)}
					}), start)
				}
				var last []types.NamespacedName
				decide := func(i int) time.Duration {
					c.putPod(testPod(fmt.Sprint("p", i), "", "", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "web"} }), start)
					began := time.Now()
					d := c.next(b.Context(), start)
					if d == nil || d.node == "" {
						b.Fatalf("decision %+v", d)
					}
					if last = append(last, d.pod.Key); len(last) > 1000 {
						c.deletePod(last[0], start)
						last = last[1:]
					}
					return time.Since(began)
				}
				first, took, i := decide(0), time.Duration(0), 8
				for k := range i { // until the plugin has all columns
					decide(k + 1)
				}
				warm := i
				for b.Loop() {
					i++
					took += decide(i)
				}
				b.ReportMetric(float64(first.Milliseconds()), "ms-first")
				b.ReportMetric(float64(took.Nanoseconds())/float64(i-warm), "ns/decision")
			})
		}
	}
}
