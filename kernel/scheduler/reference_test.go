package scheduler

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
	podresource "k8s.io/component-helpers/resource"
	corehelpers "k8s.io/component-helpers/scheduling/corev1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	"github.com/pintle-io/pintle/kernel/scheduler/cache"
)

// reference decides as upstream's documentation says, from objects and without
// any cleverness. What it shares with upstream are the helpers for affinity,
// taints and pod requests.
type reference struct {
	nodes map[string]*corev1.Node
	pods  map[types.NamespacedName]*corev1.Pod // with spec.nodeName
}

// verdict is what the reference says: the best nodes and their score, or the
// message.
type verdict struct {
	best    []string
	score   int64
	message string
}

func (r *reference) decide(p *corev1.Pod) verdict {
	var fits []string
	reasons := map[string]int{}
	only := r.namedNodes(p)
	for name, n := range r.nodes {
		if only != nil && !slices.Contains(only, name) {
			reasons["node(s) didn't satisfy plugin(s) [NodeAffinity]"]++
			continue
		}
		why := r.refuse(p, n)
		for _, text := range why {
			reasons[text]++
		}
		if len(why) == 0 {
			fits = append(fits, name)
		}
	}
	if len(fits) == 0 {
		var list []string
		for text, n := range reasons {
			list = append(list, fmt.Sprintf("%d %s", n, text))
		}
		sort.Strings(list)
		return verdict{message: fmt.Sprintf("0/%d nodes are available: %s.", len(r.nodes), strings.Join(list, ", "))}
	}
	return r.rank(p, fits)
}

func (r *reference) namedNodes(p *corev1.Pod) []string {
	a := p.Spec.Affinity
	if a == nil || a.NodeAffinity == nil || a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution == nil {
		return nil
	}
	var names []string
	for _, t := range a.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms {
		if len(t.MatchFields) != 1 || t.MatchFields[0].Operator != corev1.NodeSelectorOpIn {
			return nil
		}
		names = append(names, t.MatchFields[0].Values...)
	}
	return names
}

func (r *reference) refuse(p *corev1.Pod, n *corev1.Node) []string {
	log := klog.Background()
	cordon := corev1.Taint{Key: "node.kubernetes.io/unschedulable", Effect: corev1.TaintEffectNoSchedule}
	if n.Spec.Unschedulable && !corehelpers.TolerationsTolerateTaint(log, p.Spec.Tolerations, &cordon, false) {
		return []string{"node(s) were unschedulable"}
	}
	hard := func(t *corev1.Taint) bool { return t.Effect != corev1.TaintEffectPreferNoSchedule }
	if _, bad := corehelpers.FindMatchingUntoleratedTaint(log, n.Spec.Taints, p.Spec.Tolerations, hard, false); bad {
		return []string{"node(s) had untolerated taint(s)"}
	}
	if ok, _ := nodeaffinity.GetRequiredNodeAffinity(p).Match(n); !ok {
		return []string{"node(s) didn't match Pod's node affinity/selector"}
	}
	for _, want := range r.ports(p) {
		for _, o := range r.pods {
			for _, taken := range r.ports(o) {
				if o.Spec.NodeName == n.Name && want.HostPort == taken.HostPort && want.Protocol == taken.Protocol &&
					(want.HostIP == taken.HostIP || want.HostIP == "0.0.0.0" || taken.HostIP == "0.0.0.0") {
					return []string{"node(s) didn't have free ports for the requested pod ports"}
				}
			}
		}
	}
	var why []string
	used, count := r.used(n.Name, podresource.PodResourcesOptions{})
	if count+1 > n.Status.Allocatable.Pods().Value() {
		why = append(why, "Too many pods")
	}
	for name, want := range podresource.PodRequests(p, podresource.PodResourcesOptions{}) {
		has, u := n.Status.Allocatable[name], used[name]
		if want.MilliValue() > 0 && want.MilliValue() > has.MilliValue()-u.MilliValue() {
			why = append(why, "Insufficient "+string(name))
		}
	}
	return why
}

// ports are a pod's host ports with what is left out filled in.
func (r *reference) ports(p *corev1.Pod) []corev1.ContainerPort {
	var out []corev1.ContainerPort
	sidecars := slices.DeleteFunc(slices.Clone(p.Spec.InitContainers), func(c corev1.Container) bool { return c.RestartPolicy == nil })
	for _, c := range slices.Concat(p.Spec.Containers, sidecars) {
		for _, x := range c.Ports {
			if x.HostPort == 0 {
				continue
			}
			x.HostIP, x.Protocol = cmp.Or(x.HostIP, "0.0.0.0"), cmp.Or(x.Protocol, corev1.ProtocolTCP)
			out = append(out, x)
		}
	}
	return out
}

func (r *reference) used(node string, o podresource.PodResourcesOptions) (corev1.ResourceList, int64) {
	sum := corev1.ResourceList{}
	count := int64(0)
	for _, p := range r.pods {
		if p.Spec.NodeName != node {
			continue
		}
		count++
		for name, q := range podresource.PodRequests(p, o) {
			total := sum[name]
			total.Add(q)
			sum[name] = total
		}
	}
	return sum, count
}

func (r *reference) rank(p *corev1.Pod, fits []string) verdict {
	raw := map[string]map[string]int64{"taint": {}, "affinity": {}}
	totals := map[string]int64{}
	for _, name := range fits {
		n := r.nodes[name]
		totals[name] = r.least(p, n) + r.balanced(p, n) + r.images(p, n)
		for i := range n.Spec.Taints {
			t := &n.Spec.Taints[i]
			if t.Effect == corev1.TaintEffectPreferNoSchedule && !corehelpers.TolerationsTolerateTaint(klog.Background(), p.Spec.Tolerations, t, false) {
				raw["taint"][name]++
			}
		}
		if a := p.Spec.Affinity; a != nil && a.NodeAffinity != nil {
			terms, err := nodeaffinity.NewPreferredSchedulingTerms(a.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution)
			if err == nil {
				raw["affinity"][name] = terms.Score(n)
			}
		}
	}
	highest := func(m map[string]int64) (h int64) {
		for _, v := range m {
			h = max(h, v)
		}
		return h
	}
	v := verdict{score: math.MinInt64}
	for _, name := range fits {
		taint := int64(100)
		if h := highest(raw["taint"]); h > 0 {
			taint = 100 - 100*raw["taint"][name]/h
		}
		totals[name] += 3 * taint
		if h := highest(raw["affinity"]); h > 0 {
			totals[name] += 2 * (100 * raw["affinity"][name] / h)
		}
		switch s := totals[name]; {
		case s > v.score:
			v.score, v.best = s, []string{name}
		case s == v.score:
			v.best = append(v.best, name)
		}
	}
	sort.Strings(v.best)
	return v
}

func (r *reference) least(p *corev1.Pod, n *corev1.Node) int64 {
	o := podresource.PodResourcesOptions{NonMissingContainerRequests: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("200Mi")}}
	used, _ := r.used(n.Name, o)
	want := podresource.PodRequests(p, o)
	var sum, weights int64
	for _, x := range [][3]int64{
		{n.Status.Allocatable.Cpu().MilliValue(), used.Cpu().MilliValue(), want.Cpu().MilliValue()},
		{n.Status.Allocatable.Memory().Value(), used.Memory().Value(), want.Memory().Value()},
	} {
		if x[0] == 0 {
			continue
		}
		weights++
		if x[1]+x[2] <= x[0] {
			sum += (x[0] - x[1] - x[2]) * 100 / x[0]
		}
	}
	if weights == 0 {
		return 0
	}
	return sum / weights
}

func (r *reference) balanced(p *corev1.Pod, n *corev1.Node) int64 {
	want := podresource.PodRequests(p, podresource.PodResourcesOptions{})
	if want.Cpu().IsZero() && want.Memory().IsZero() {
		return 0
	}
	used, _ := r.used(n.Name, podresource.PodResourcesOptions{})
	even := func(with bool) int64 {
		var f []float64
		for _, x := range [][3]int64{
			{n.Status.Allocatable.Cpu().MilliValue(), used.Cpu().MilliValue(), want.Cpu().MilliValue()},
			{n.Status.Allocatable.Memory().Value(), used.Memory().Value(), want.Memory().Value()},
		} {
			if x[0] == 0 {
				continue
			}
			u := x[1]
			if with {
				u += x[2]
			}
			f = append(f, min(1, float64(u)/float64(x[0])))
		}
		std := 0.0
		if len(f) == 2 {
			std = math.Abs((f[0] - f[1]) / 2)
		}
		return int64((1 - std) * 100)
	}
	return 50 + (50+even(true)-even(false))/2
}

func (r *reference) images(p *corev1.Pod, n *corev1.Node) int64 {
	const mb = 1 << 20
	var sum int64
	containers := slices.Concat(p.Spec.InitContainers, p.Spec.Containers)
	for _, c := range containers {
		for _, m := range n.Status.Images {
			if !slices.Contains(m.Names, c.Image) {
				continue
			}
			have := 0
			for _, o := range r.nodes {
				for _, x := range o.Status.Images {
					if slices.Contains(x.Names, c.Image) {
						have++
					}
				}
			}
			sum += int64(float64(m.SizeBytes) * (float64(have) / float64(len(r.nodes))))
		}
	}
	count := int64(len(containers))
	sum = min(max(sum, 23*mb), 1000*mb*count)
	return 100 * (sum - 23*mb) / (1000*mb*count - 23*mb)
}

// world makes random clusters and applies what happens to them to a cycle and
// to the reference.
type world struct {
	t     *testing.T
	r     *rand.Rand
	cycle *cycle
	ref   *reference
	next  int
}

func (w *world) pick(list ...string) string { return list[w.r.IntN(len(list))] }
func (w *world) chance(percent int) bool    { return w.r.IntN(100) < percent }

func (w *world) node(name string) *corev1.Node {
	return testNode(name, w.pick("1", "2", "4", "7500m"), w.pick("2Gi", "4Gi", "7Gi"), func(n *corev1.Node) {
		n.Labels["zone"] = w.pick("a", "b", "c")
		if w.chance(30) {
			n.Labels["rank"] = w.pick("1", "5", "10", "ten")
		}
		if w.chance(10) {
			n.Labels[w.pick("rare1", "rare2", "rare3")] = w.pick("x", "y", "3")
		}
		for range w.r.IntN(3) {
			if w.chance(40) {
				n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: w.pick("k1", "k2"), Value: w.pick("v1", "v2", ""),
					Effect: corev1.TaintEffect(w.pick("NoSchedule", "PreferNoSchedule", "NoExecute", "PreferNoSchedule"))})
			}
		}
		n.Spec.Unschedulable = w.chance(8)
		if w.chance(25) {
			n.Status.Allocatable["example.com/gpu"] = resource.MustParse(w.pick("1", "4"))
		}
		if w.chance(10) {
			n.Status.Allocatable[corev1.ResourcePods] = resource.MustParse("2")
		}
		for _, i := range []string{"1", "2", "3"} {
			if w.chance(30) {
				n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{"registry.local/app:" + i}, SizeBytes: 700 << 20})
			}
		}
	})
}

func (w *world) pod() *corev1.Pod {
	w.next++
	return testPod(fmt.Sprintf("pod-%d", w.next), w.pick("", "100m", "500m", "2"), w.pick("", "64Mi", "1Gi"), func(p *corev1.Pod) {
		c := &p.Spec.Containers[0]
		c.Image = "registry.local/app:" + w.pick("1", "2", "3", "9")
		if w.chance(15) {
			c.Resources.Requests["example.com/gpu"] = resource.MustParse("1")
		}
		if w.chance(15) {
			p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: "d", Image: "registry.local/app:2"})
		}
		for w.chance(15) {
			c.Ports = append(c.Ports, w.port())
		}
		if w.chance(10) {
			always := corev1.ContainerRestartPolicyAlways
			p.Spec.InitContainers = []corev1.Container{{Name: "s", Image: "registry.local/app:3", RestartPolicy: &always, Ports: []corev1.ContainerPort{w.port()}}}
			if w.chance(30) {
				p.Spec.InitContainers[0].RestartPolicy = nil
			}
		}
		if w.chance(25) {
			p.Spec.NodeSelector = map[string]string{"zone": w.pick("a", "b", "d")}
		}
		if w.chance(30) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: w.pick("k1", "k2", ""), Operator: "Exists",
				Effect: corev1.TaintEffect(w.pick("", "NoSchedule", "PreferNoSchedule"))})
		}
		if w.chance(20) {
			p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: "k1", Operator: "Equal", Value: "v1"})
		}
		if w.chance(35) {
			a := &corev1.NodeAffinity{}
			p.Spec.Affinity = &corev1.Affinity{NodeAffinity: a}
			if w.chance(50) {
				a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{}
				for range 1 + w.r.IntN(2) {
					s := a.RequiredDuringSchedulingIgnoredDuringExecution
					s.NodeSelectorTerms = append(s.NodeSelectorTerms, w.term())
				}
			}
			for range w.r.IntN(3) {
				a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution,
					corev1.PreferredSchedulingTerm{Weight: int32(1 + w.r.IntN(50)), Preference: w.term()})
			}
		}
	})
}

func (w *world) port() corev1.ContainerPort {
	return corev1.ContainerPort{HostPort: int32(w.r.IntN(4)), HostIP: w.pick("", "", "0.0.0.0", "10.0.0.1", "10.0.0.2"),
		Protocol: corev1.Protocol(w.pick("", "TCP", "UDP"))}
}

func (w *world) term() corev1.NodeSelectorTerm {
	var t corev1.NodeSelectorTerm
	if w.chance(15) {
		t.MatchFields = []corev1.NodeSelectorRequirement{{Key: "metadata.name",
			Operator: corev1.NodeSelectorOperator(w.pick("In", "NotIn")), Values: []string{fmt.Sprintf("node-%d", w.r.IntN(20))}}}
		return t
	}
	for range 1 + w.r.IntN(2) {
		q := corev1.NodeSelectorRequirement{Key: w.pick("zone", "rank", "rare1", "rare2", "absent"),
			Operator: corev1.NodeSelectorOperator(w.pick("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"))}
		switch q.Operator {
		case "In", "NotIn":
			for range 1 + w.r.IntN(12) {
				q.Values = append(q.Values, w.pick("a", "b", "x", "y", "1", "5", "ten", "none"))
			}
		case "Gt", "Lt":
			q.Values = []string{w.pick("1", "4", "7")}
		}
		t.MatchExpressions = append(t.MatchExpressions, q)
	}
	return t
}

// step lets one thing happen.
func (w *world) step() {
	name := fmt.Sprintf("node-%d", w.r.IntN(20))
	cl := w.cycle
	switch k := w.r.IntN(100); {
	case k < 12:
		n := w.node(name)
		w.ref.nodes[name] = n
		cl.putNode(n, start)
	case k < 15:
		if len(w.ref.nodes) > 1 {
			delete(w.ref.nodes, name)
			cl.deleteNode(name)
		}
	case k < 22:
		for key := range w.ref.pods {
			delete(w.ref.pods, key)
			cl.deletePod(key, start)
			break
		}
	default:
		w.place(w.pod())
	}
}

// place decides about a pod, sometimes again with a second of the same signature.
func (w *world) place(p *corev1.Pod) {
	w.t.Helper()
	for range 1 + w.r.IntN(3) {
		want := w.ref.decide(p)
		u := cache.UsageOf(p)
		out, err := w.cycle.evaluator.Decide(w.t.Context(), record(p, &u), start)
		if err != nil {
			w.t.Fatal(err)
		}
		got := verdict{score: out.Score, message: ""}
		if out.Fit != nil {
			got = verdict{message: out.Fit.Error()}
		} else if slices.Contains(want.best, out.Node) {
			got.best = want.best
		} else {
			got.best = []string{out.Node}
		}
		if diff := gocmp.Diff(want, got, gocmp.AllowUnexported(verdict{})); diff != "" {
			w.t.Fatalf("pod %s: -want +got:\n%s\nspec %+v", p.Name, diff, p.Spec)
		}
		if out.Fit != nil {
			return
		}
		bound := p.DeepCopy()
		bound.Spec.NodeName = out.Node
		w.ref.pods[types.NamespacedName{Namespace: p.Namespace, Name: p.Name}] = bound
		w.cycle.putPod(bound, start)
		p = p.DeepCopy()
		w.next++
		p.Name = fmt.Sprintf("pod-%d", w.next)
		p.UID = types.UID("uid-" + p.Name)
	}
}

func (w *world) run(steps int) {
	for i := range 8 {
		n := w.node(fmt.Sprintf("node-%d", i))
		w.ref.nodes[n.Name] = n
		w.cycle.putNode(n, start)
	}
	for range steps {
		w.step()
	}
}

// TestAgainstReference lets random things happen to random clusters and
// compares every decision with the reference.
func TestAgainstReference(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{t: t, r: rand.New(rand.NewPCG(seed, 7)), cycle: newTestCycle(t),
				ref: &reference{nodes: map[string]*corev1.Node{}, pods: map[types.NamespacedName]*corev1.Pod{}}}
			w.run(250)
		})
	}
}

// TestWASMAgainstReference does the same with the plugins in WASM.
func TestWASMAgainstReference(t *testing.T) {
	p := inWASM(t)
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := &world{t: t, r: rand.New(rand.NewPCG(seed, 8)), cycle: newTestCycle(t, p),
				ref: &reference{nodes: map[string]*corev1.Node{}, pods: map[types.NamespacedName]*corev1.Pod{}}}
			w.run(250)
		})
	}
}
