package scheduler

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"
)

var rewrite = flag.Bool("update", false, "rewrite the expectations of scenarios")

// TestScenarios runs testdata/*.txtar: prose, then the file "do" with a
// command in each line, then "want" with what was decided.
//
//	node NAME cpu=2 memory=4Gi pods=10 label=K=V taint=K=V:EFFECT image=NAME=SIZE cordoned
//	pod NAME cpu=1 memory=1Gi priority=5 node=N select=K=V prefer=WEIGHT:K=V require=K=V
//	    tolerate=K:EFFECT pinned=N,N scheduler=S image=NAME gate phase=Failed
//	    port=80 port=IP:80/UDP sidecar-port=80 init-port=80 (host ports)
//	delete node|pod NAME
//	advance DURATION
//	run                 decides until no pod is due
//	lost POD            the binding of POD failed
//	explain POD
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no scenarios", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if len(a.Files) != 2 || a.Files[0].Name != "do" || a.Files[1].Name != "want" {
				t.Fatal("a scenario has the files do and want")
			}
			s := &scenario{t: t, cycle: newTestCycle(t), now: start, bindings: map[string]*decision{}}
			for line := range strings.Lines(string(a.Files[0].Data)) {
				s.line(strings.Fields(line))
			}
			if *rewrite {
				a.Files[1].Data = []byte(s.out.String())
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(a.Files[1].Data), s.out.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

type scenario struct {
	t     *testing.T
	cycle *cycle
	now   time.Time
	out   strings.Builder
	// bindings are the decisions for a node, by pod.
	bindings map[string]*decision
}

// lost takes a decision back whose binding failed.
func (s *scenario) lost(pod string) {
	d := s.bindings[pod]
	s.cycle.rollback(d, s.now)
}

func (s *scenario) printf(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }

func key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "default", Name: name}
}

func (s *scenario) line(f []string) {
	if len(f) == 0 || strings.HasPrefix(f[0], "#") {
		return
	}
	cl := s.cycle
	switch f[0] {
	case "node":
		cl.putNode(s.node(f[1], f[2:]), s.now)
	case "pod":
		cl.putPod(s.pod(f[1], f[2:]), s.now)
	case "delete":
		if f[1] == "node" {
			cl.deleteNode(f[2])
		} else {
			cl.deletePod(key(f[2]), s.now)
		}
	case "advance":
		d, err := time.ParseDuration(f[1])
		if err != nil {
			s.t.Fatal(err)
		}
		s.now = s.now.Add(d)
	case "run":
		s.run()
	case "lost":
		s.lost(f[1])
	case "explain":
		s.explain(f[1])
	default:
		s.t.Fatalf("unknown command %q", f)
	}
}

func (s *scenario) run() {
	for {
		d := s.cycle.next(s.t.Context(), s.now)
		if d == nil {
			break
		}
		if d.node != "" {
			s.bindings[d.pod.Key.Name] = d
			s.printf("%s -> %s", d.pod.Key.Name, d.node)
			continue
		}
		what := ""
		if d.condition {
			what += " condition"
		}
		if d.event {
			what += " event"
		}
		s.printf("%s: %s (%s)", d.pod.Key.Name, d.message, strings.TrimSpace(what))
		if d.condition {
			// The condition is written and comes back.
			o := d.pod.Object.DeepCopy()
			setCondition(&o.Status, corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse,
				Reason: corev1.PodReasonUnschedulable, Message: d.message})
			s.cycle.putPod(o, s.now)
		}
	}
	active, backoff, unschedulable := s.cycle.queue.Lengths()
	s.printf("# %s: active %d, backoff %d, unschedulable %d", s.now.Sub(start), active, backoff, unschedulable)
}

func (s *scenario) explain(name string) {
	v, ok := s.cycle.explanations.get(key(name))
	if !ok {
		s.printf("%s: nothing is known", name)
		return
	}
	s.printf("%s: attempt %d, node %q, %d of %d fit", name, v.Attempts, v.Node, v.Feasible, v.Nodes)
	for _, r := range v.Reasons {
		s.printf("  %s: %s, %d nodes %v", r.Plugin, r.Reason, r.Nodes, r.Examples)
	}
}

func (s *scenario) number(v string) int {
	n, err := strconv.Atoi(v)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

func (s *scenario) node(name string, args []string) *corev1.Node {
	return testNode(name, "4", "8Gi", func(n *corev1.Node) {
		for _, a := range args {
			k, v, _ := strings.Cut(a, "=")
			left, right, _ := strings.Cut(v, "=")
			switch k {
			case "cpu", "memory", "pods":
				n.Status.Allocatable[corev1.ResourceName(k)] = resource.MustParse(v)
			case "label":
				n.Labels[left] = right
			case "taint":
				value, effect, _ := strings.Cut(right, ":")
				n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: left, Value: value, Effect: corev1.TaintEffect(effect)})
			case "image":
				size := resource.MustParse(right)
				n.Status.Images = append(n.Status.Images, corev1.ContainerImage{Names: []string{left}, SizeBytes: size.Value()})
			case "cordoned":
				n.Spec.Unschedulable = true
			default:
				s.t.Fatalf("node %s: %q", name, a)
			}
		}
	})
}

func (s *scenario) pod(name string, args []string) *corev1.Pod {
	return testPod(name, "", "", func(p *corev1.Pod) {
		affinity := func() *corev1.NodeAffinity {
			if p.Spec.Affinity == nil {
				p.Spec.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}}
			}
			return p.Spec.Affinity.NodeAffinity
		}
		in := func(k, v string) corev1.NodeSelectorTerm {
			return corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: k, Operator: corev1.NodeSelectorOpIn, Values: []string{v}}}}
		}
		for _, a := range args {
			k, v, _ := strings.Cut(a, "=")
			left, right, _ := strings.Cut(v, "=")
			switch k {
			case "cpu", "memory", "ephemeral-storage", "example.com/gpu":
				p.Spec.Containers[0].Resources.Requests[corev1.ResourceName(k)] = resource.MustParse(v)
			case "priority":
				n := int32(s.number(v))
				p.Spec.Priority = &n
			case "node":
				p.Spec.NodeName = v
			case "select":
				p.Spec.NodeSelector = map[string]string{left: right}
			case "require":
				a := affinity()
				a.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{in(left, right)}}
			case "prefer":
				weight, name, _ := strings.Cut(left, ":")
				a := affinity()
				a.PreferredDuringSchedulingIgnoredDuringExecution = append(a.PreferredDuringSchedulingIgnoredDuringExecution,
					corev1.PreferredSchedulingTerm{Weight: int32(s.number(weight)), Preference: in(name, right)})
			case "pinned":
				sel := &corev1.NodeSelector{}
				for _, n := range strings.Split(v, ",") {
					sel.NodeSelectorTerms = append(sel.NodeSelectorTerms, corev1.NodeSelectorTerm{
						MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: corev1.NodeSelectorOpIn, Values: []string{n}}}})
				}
				affinity().RequiredDuringSchedulingIgnoredDuringExecution = sel
			case "tolerate":
				name, effect, _ := strings.Cut(v, ":")
				p.Spec.Tolerations = append(p.Spec.Tolerations, corev1.Toleration{Key: name, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffect(effect)})
			case "port":
				p.Spec.Containers[0].Ports = append(p.Spec.Containers[0].Ports, s.port(v))
			case "sidecar-port", "init-port":
				c := corev1.Container{Name: k, Image: "registry.local/app:1", Ports: []corev1.ContainerPort{s.port(v)}}
				if k == "sidecar-port" {
					always := corev1.ContainerRestartPolicyAlways
					c.RestartPolicy = &always
				}
				p.Spec.InitContainers = append(p.Spec.InitContainers, c)
			case "scheduler":
				p.Spec.SchedulerName = v
			case "image":
				p.Spec.Containers[0].Image = v
			case "gate":
				p.Spec.SchedulingGates = []corev1.PodSchedulingGate{{Name: "g"}}
			case "phase":
				p.Status.Phase = corev1.PodPhase(v)
			default:
				s.t.Fatalf("pod %s: %q", name, a)
			}
		}
	})
}

func (s *scenario) port(v string) corev1.ContainerPort {
	v, protocol, _ := strings.Cut(v, "/")
	out := corev1.ContainerPort{Protocol: corev1.Protocol(protocol)}
	if i := strings.LastIndexByte(v, ':'); i >= 0 {
		out.HostIP, v = v[:i], v[i+1:]
	}
	out.HostPort = int32(s.number(v))
	return out
}

// What is on the nodes is always the sum of the pods that are known there.
func TestUsageIsExact(t *testing.T) {
	c := newTestCycle(t)
	cl := c
	for i := range 3 {
		cl.putNode(testNode(fmt.Sprintf("n%d", i), "4", "8Gi"), start)
	}
	at := func(node string) func(*corev1.Pod) { return func(p *corev1.Pod) { p.Spec.NodeName = node } }
	cl.putPod(testPod("a", "1", "1Gi"), start)
	d := c.next(t.Context(), start)
	if d == nil || d.node == "" {
		t.Fatalf("decision %+v", d)
	}
	usage := func() string {
		var out []string
		for row := range cl.cache.Table().Rows() {
			u, n := cl.cache.Table().Usage(row)
			out = append(out, fmt.Sprint(cl.cache.Table().Node(row).Name, " ", u.Requests.MilliCPU, " ", n))
		}
		sort.Strings(out)
		return strings.Join(out, ", ")
	}
	want := func(what, w string) {
		t.Helper()
		if got := usage(); got != w {
			t.Errorf("%s: %s, want %s", what, got, w)
		}
	}
	cl.putPod(testPod("a", "1", "1Gi"), start) // a late event from before the binding
	if active, _, _ := c.queue.Lengths(); active != 0 {
		t.Error("an assumed pod was queued again")
	}
	cl.putPod(testPod("a", "1", "1Gi", at("n1")), start) // it is on n1 in truth
	want("confirmed elsewhere", "n0 0 0, n1 1000 1, n2 0 0")
	cl.putPod(testPod("a", "1", "1Gi", at("n1"), func(p *corev1.Pod) { p.Status.Phase = corev1.PodSucceeded }), start)
	want("finished", "n0 0 0, n1 0 0, n2 0 0")
	cl.putPod(testPod("b", "500m", "", at("later")), start)
	cl.putPod(testPod("b", "500m", "", at("later")), start)
	cl.putNode(testNode("later", "4", "8Gi"), start)
	want("a pod before its node", "later 500 1, n0 0 0, n1 0 0, n2 0 0")
	cl.deleteNode("later")
	cl.putNode(testNode("later", "4", "8Gi"), start)
	want("a node that comes back", "later 500 1, n0 0 0, n1 0 0, n2 0 0")
	cl.putPod(testPod("b", "700m", "", at("later")), start)
	want("a resized pod", "later 700 1, n0 0 0, n1 0 0, n2 0 0")
	cl.putPod(testPod("b", "700m", "", at("later"), func(p *corev1.Pod) {
		p.Spec.Overhead = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("250m")}
	}), start)
	want("with the overhead of its runtime class", "later 950 1, n0 0 0, n1 0 0, n2 0 0")
	recreated := testPod("b", "100m", "", at("n0"))
	recreated.UID = "another"
	cl.putPod(recreated, start)
	want("another pod of that name", "later 0 0, n0 100 1, n1 0 0, n2 0 0")
}
