package scheduling_test

import (
	"slices"
	"strings"
	"testing"

	set "github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func open(t *testing.T, config string) *scheduling.Points {
	t.Helper()
	p, err := set.New([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func node(name string, cpu int64, change ...func(*scheduling.NodeInfo)) scheduling.NodeInfo {
	n := scheduling.NodeInfo{Name: name, Pods: 110, Labels: map[string]string{"host": name},
		Allocatable: scheduling.Resources{MilliCPU: cpu, Memory: 8 << 30, Ephemeral: 100 << 30}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func required(terms ...scheduling.NodeTerm) *scheduling.NodeAffinity {
	if terms == nil {
		terms = []scheduling.NodeTerm{}
	}
	return &scheduling.NodeAffinity{Required: &scheduling.NodeSelector{Terms: terms}}
}

func field(values ...string) scheduling.Requirement {
	return scheduling.Requirement{Key: "metadata.name", Operator: "In", Values: values}
}

func expr(key, op string, values ...string) scheduling.NodeTerm {
	return scheduling.NodeTerm{Expressions: []scheduling.Requirement{{Key: key, Operator: op, Values: values}}}
}

// Each case asks the whole set about one pod and node; the reasons are
// upstream's, "" when the pod fits.
func TestFilters(t *testing.T) {
	const noMatch = "node(s) didn't match Pod's node affinity/selector"
	tainted := func(effect string) func(*scheduling.NodeInfo) {
		return func(n *scheduling.NodeInfo) { n.Taints = []scheduling.Taint{{Key: "k", Value: "v", Effect: effect}} }
	}
	used := func(ports ...scheduling.HostPort) func(*scheduling.NodeInfo) {
		return func(n *scheduling.NodeInfo) { n.Used = []scheduling.Usage{{Ports: ports}} }
	}
	gpu := func(v int64) []scheduling.Amount { return []scheduling.Amount{{Name: "example.com/gpu", Value: v}} }
	for _, tt := range []struct {
		name   string
		config string
		pod    scheduling.PodInfo
		node   scheduling.NodeInfo
		want   string
	}{
		{name: "empty pod", node: node("n", 0)},
		{name: "cpu", pod: scheduling.PodInfo{Requests: scheduling.Resources{MilliCPU: 1001}}, node: node("n", 1000), want: "Insufficient cpu"},
		{name: "exactly", pod: scheduling.PodInfo{Requests: scheduling.Resources{MilliCPU: 1000}}, node: node("n", 1000)},
		{name: "everything", pod: scheduling.PodInfo{Requests: scheduling.Resources{MilliCPU: 2000, Memory: 9 << 30, Ephemeral: 101 << 30, Extended: gpu(1)}}, node: node("n", 1000),
			want: "Insufficient cpu, Insufficient memory, Insufficient ephemeral-storage, Insufficient example.com/gpu"},
		{name: "pods", node: node("n", 1000, func(n *scheduling.NodeInfo) { n.Pods = 1; n.Used = make([]scheduling.Usage, 1) }), want: "Too many pods"},
		{name: "extended used up", pod: scheduling.PodInfo{Requests: scheduling.Resources{Extended: gpu(1)}}, node: node("n", 1, func(n *scheduling.NodeInfo) {
			n.Allocatable.Extended = gpu(1)
			n.Used = []scheduling.Usage{{Requests: scheduling.Resources{Extended: gpu(1)}}}
		}), want: "Insufficient example.com/gpu"},
		{name: "ignored resource", config: `{"NodeResourcesFit":{"ignoredResources":["example.com/gpu"]}}`,
			pod: scheduling.PodInfo{Requests: scheduling.Resources{Extended: gpu(1)}}, node: node("n", 1)},
		{name: "ignored group", config: `{"NodeResourcesFit":{"ignoredResourceGroups":["example.com"]}}`,
			pod: scheduling.PodInfo{Requests: scheduling.Resources{Extended: gpu(1)}}, node: node("n", 1)},

		{name: "cordoned", node: node("n", 1, func(n *scheduling.NodeInfo) { n.Unschedulable = true }), want: "node(s) were unschedulable"},
		{name: "cordoned and tolerated", pod: scheduling.PodInfo{Tolerations: []scheduling.Toleration{{Key: "node.kubernetes.io/unschedulable", Operator: "Exists"}}},
			node: node("n", 1, func(n *scheduling.NodeInfo) { n.Unschedulable = true })},

		{name: "named", pod: scheduling.PodInfo{NodeName: "n"}, node: node("n", 1)},
		{name: "named otherwise", pod: scheduling.PodInfo{NodeName: "m"}, node: node("n", 1), want: "node(s) didn't match the requested node name"},

		{name: "taint", node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},
		{name: "taint NoExecute", node: node("n", 1, tainted("NoExecute")), want: "node(s) had untolerated taint(s)"},
		{name: "soft taint", node: node("n", 1, tainted("PreferNoSchedule"))},
		{name: "tolerated", pod: scheduling.PodInfo{Tolerations: []scheduling.Toleration{{Key: "k", Value: "v"}}}, node: node("n", 1, tainted("NoSchedule"))},
		{name: "tolerated for another effect", pod: scheduling.PodInfo{Tolerations: []scheduling.Toleration{{Key: "k", Operator: "Exists", Effect: "NoExecute"}}},
			node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},
		{name: "all tolerated", pod: scheduling.PodInfo{Tolerations: []scheduling.Toleration{{Operator: "Exists"}}}, node: node("n", 1, tainted("NoSchedule"))},
		{name: "operator of the future", pod: scheduling.PodInfo{Tolerations: []scheduling.Toleration{{Key: "k", Operator: "Gt", Value: "1"}}},
			node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},

		{name: "port", pod: scheduling.PodInfo{Ports: []scheduling.HostPort{{Port: 80}}}, node: node("n", 1, used(scheduling.HostPort{IP: "10.0.0.1", Port: 80, Protocol: "TCP"})),
			want: "node(s) didn't have free ports for the requested pod ports"},
		{name: "free port", pod: scheduling.PodInfo{Ports: []scheduling.HostPort{{Port: 80}}}, node: node("n", 1, used(scheduling.HostPort{Port: 80, Protocol: "UDP"}))},
		{name: "port goes before room", pod: scheduling.PodInfo{Ports: []scheduling.HostPort{{Port: 80}}, Requests: scheduling.Resources{MilliCPU: 2}},
			node: node("n", 1, used(scheduling.HostPort{Port: 80})), want: "node(s) didn't have free ports for the requested pod ports"},

		{name: "selector", pod: scheduling.PodInfo{NodeSelector: map[string]string{"host": "n"}}, node: node("n", 1)},
		{name: "selector otherwise", pod: scheduling.PodInfo{NodeSelector: map[string]string{"host": "m"}}, node: node("n", 1), want: noMatch},
		{name: "selector without label", pod: scheduling.PodInfo{NodeSelector: map[string]string{"none": ""}}, node: node("n", 1), want: noMatch},
		{name: "no terms match nothing", pod: scheduling.PodInfo{Affinity: required()}, node: node("n", 1), want: noMatch},
		{name: "an empty term matches nothing", pod: scheduling.PodInfo{Affinity: required(scheduling.NodeTerm{})}, node: node("n", 1), want: noMatch},
		{name: "one term of two", pod: scheduling.PodInfo{Affinity: required(expr("host", "In", "x"), expr("host", "Exists"))}, node: node("n", 1)},
		{name: "not in", pod: scheduling.PodInfo{Affinity: required(expr("host", "NotIn", "n", "x"))}, node: node("n", 1), want: noMatch},
		{name: "not in, without label", pod: scheduling.PodInfo{Affinity: required(expr("none", "NotIn", "n"))}, node: node("n", 1)},
		{name: "does not exist", pod: scheduling.PodInfo{Affinity: required(expr("host", "DoesNotExist"))}, node: node("n", 1), want: noMatch},
		{name: "greater", pod: scheduling.PodInfo{Affinity: required(expr("host", "Gt", "4"))}, node: node("5", 1)},
		{name: "not greater", pod: scheduling.PodInfo{Affinity: required(expr("host", "Gt", "5"))}, node: node("5", 1), want: noMatch},
		{name: "less", pod: scheduling.PodInfo{Affinity: required(expr("host", "Lt", "6"))}, node: node("5", 1)},
		{name: "no number", pod: scheduling.PodInfo{Affinity: required(expr("host", "Lt", "6"))}, node: node("five", 1), want: noMatch},
		{name: "nonsense", pod: scheduling.PodInfo{Affinity: required(expr("host", "Near", "n"))}, node: node("n", 1), want: noMatch},
		{name: "Exists with a value", pod: scheduling.PodInfo{Affinity: required(expr("host", "Exists", "n"))}, node: node("n", 1), want: noMatch},
		{name: "by field", pod: scheduling.PodInfo{Affinity: required(scheduling.NodeTerm{Fields: []scheduling.Requirement{field("n")}})}, node: node("n", 1)},
		{name: "by field and label", pod: scheduling.PodInfo{Affinity: required(scheduling.NodeTerm{Fields: []scheduling.Requirement{field("n")},
			Expressions: []scheduling.Requirement{{Key: "host", Operator: "In", Values: []string{"x"}}}})}, node: node("n", 1), want: noMatch},
		{name: "fields in conflict", pod: scheduling.PodInfo{Affinity: required(scheduling.NodeTerm{Fields: []scheduling.Requirement{field("n"), field("m")}})},
			node: node("n", 1), want: "pod affinity terms conflict"},
		{name: "another node by field", pod: scheduling.PodInfo{Affinity: required(scheduling.NodeTerm{Fields: []scheduling.Requirement{field("m")}})},
			node: node("n", 1), want: "node(s) didn't satisfy plugin(s) [NodeAffinity]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdktest.Try(open(t, tt.config), tt.pod, tt.node)
			if err != nil {
				t.Fatal(err)
			}
			if why := strings.Join(got[0].Reasons, ", "); why != tt.want {
				t.Errorf("got %q, want %q", why, tt.want)
			}
		})
	}
}

// The same label may be common or rare among the nodes: the answer must not
// depend on it.
func TestRareLabels(t *testing.T) {
	terms := []scheduling.NodeTerm{expr("x", "In", "1"), expr("x", "NotIn", "1"), expr("x", "Exists"), expr("x", "DoesNotExist"), expr("x", "Gt", "0"), expr("x", "Lt", "1")}
	want := map[string]string{"1": "In Exists Gt", "2": "NotIn Exists Gt", "": "NotIn DoesNotExist"}
	for _, others := range []int{0, 100} {
		for value, ops := range want {
			var nodes []scheduling.NodeInfo
			n := node("n", 1000)
			if value != "" {
				n.Labels["x"] = value
			}
			nodes = append(nodes, n)
			for range others {
				nodes = append(nodes, node("other-"+string(rune('A'+len(nodes))), 1000))
			}
			var fits []string
			for _, term := range terms {
				got, err := sdktest.Try(open(t, ""), scheduling.PodInfo{Affinity: required(term)}, nodes...)
				if err != nil {
					t.Fatal(err)
				}
				if got[0].Fits() {
					fits = append(fits, term.Expressions[0].Operator)
				}
			}
			if got := strings.Join(fits, " "); got != ops {
				t.Errorf("label %q among %d: %s, want %s", value, others, got, ops)
			}
		}
	}
}

func TestConfig(t *testing.T) {
	for _, bad := range []string{`{`, `{"Nothing":{}}`, `{"NodeResourcesFit":{"cpuWeight":-1}}`, `{"NodeResourcesFit":[]}`} {
		if _, err := set.New([]byte(bad)); err == nil {
			t.Errorf("config %s was taken", bad)
		}
	}
	p := open(t, `{"NodeResourcesFit":{"cpuWeight":1}}`)
	var names []string
	for _, m := range p.Members {
		names = append(names, m.Name)
	}
	want := []string{"NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "VolumeBinding", "NodeResourcesBalancedAllocation", "ImageLocality"}
	if !slices.Equal(names, want) {
		t.Errorf("members %v, want %v", names, want)
	}
}
