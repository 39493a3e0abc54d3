package scheduling_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/plugins/scheduling"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/columns"
)

func open(t *testing.T, config string) *sdk.Points {
	t.Helper()
	p, err := scheduling.New([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func node(name string, cpu int64, change ...func(*sdk.NodeInfo)) sdk.NodeInfo {
	n := sdk.NodeInfo{Node: columns.Node{Name: name, Pods: 110, Labels: map[string]string{"host": name},
		Allocatable: sdk.Resources{MilliCPU: cpu, Memory: 8 << 30, Ephemeral: 100 << 30}}}
	for _, f := range change {
		f(&n)
	}
	return n
}

func required(terms ...sdk.NodeTerm) *sdk.NodeAffinity {
	if terms == nil {
		terms = []sdk.NodeTerm{}
	}
	return &sdk.NodeAffinity{Required: terms}
}

func field(values ...string) sdk.Requirement {
	return sdk.Requirement{Key: "metadata.name", Operator: "In", Values: values}
}

func expr(key, op string, values ...string) sdk.NodeTerm {
	return sdk.NodeTerm{Expressions: []sdk.Requirement{{Key: key, Operator: op, Values: values}}}
}

// Each case asks the whole set about one pod and node; the reasons are
// upstream's, "" when the pod fits.
func TestFilters(t *testing.T) {
	const noMatch = "node(s) didn't match Pod's node affinity/selector"
	tainted := func(effect string) func(*sdk.NodeInfo) {
		return func(n *sdk.NodeInfo) { n.Taints = []sdk.Taint{{Key: "k", Value: "v", Effect: effect}} }
	}
	used := func(ports ...sdk.HostPort) func(*sdk.NodeInfo) {
		return func(n *sdk.NodeInfo) { n.Used = []columns.Usage{{Ports: ports}} }
	}
	gpu := func(v int64) []sdk.Amount { return []sdk.Amount{{Name: "example.com/gpu", Value: v}} }
	for _, tt := range []struct {
		name   string
		config string
		pod    sdk.PodInfo
		node   sdk.NodeInfo
		want   string
	}{
		{name: "empty pod", node: node("n", 0)},
		{name: "cpu", pod: sdk.PodInfo{Requests: sdk.Resources{MilliCPU: 1001}}, node: node("n", 1000), want: "Insufficient cpu"},
		{name: "exactly", pod: sdk.PodInfo{Requests: sdk.Resources{MilliCPU: 1000}}, node: node("n", 1000)},
		{name: "everything", pod: sdk.PodInfo{Requests: sdk.Resources{MilliCPU: 2000, Memory: 9 << 30, Ephemeral: 101 << 30, Extended: gpu(1)}}, node: node("n", 1000),
			want: "Insufficient cpu, Insufficient memory, Insufficient ephemeral-storage, Insufficient example.com/gpu"},
		{name: "pods", node: node("n", 1000, func(n *sdk.NodeInfo) { n.Pods = 1; n.Used = make([]columns.Usage, 1) }), want: "Too many pods"},
		{name: "extended used up", pod: sdk.PodInfo{Requests: sdk.Resources{Extended: gpu(1)}}, node: node("n", 1, func(n *sdk.NodeInfo) {
			n.Allocatable.Extended = gpu(1)
			n.Used = []columns.Usage{{Requests: sdk.Resources{Extended: gpu(1)}}}
		}), want: "Insufficient example.com/gpu"},
		{name: "ignored resource", config: `{"NodeResourcesFit":{"ignoredResources":["example.com/gpu"]}}`,
			pod: sdk.PodInfo{Requests: sdk.Resources{Extended: gpu(1)}}, node: node("n", 1)},
		{name: "ignored group", config: `{"NodeResourcesFit":{"ignoredResourceGroups":["example.com"]}}`,
			pod: sdk.PodInfo{Requests: sdk.Resources{Extended: gpu(1)}}, node: node("n", 1)},

		{name: "cordoned", node: node("n", 1, func(n *sdk.NodeInfo) { n.Unschedulable = true }), want: "node(s) were unschedulable"},
		{name: "cordoned and tolerated", pod: sdk.PodInfo{Tolerations: []sdk.Toleration{{Key: "node.kubernetes.io/unschedulable", Operator: "Exists"}}},
			node: node("n", 1, func(n *sdk.NodeInfo) { n.Unschedulable = true })},

		{name: "named", pod: sdk.PodInfo{NodeName: "n"}, node: node("n", 1)},
		{name: "named otherwise", pod: sdk.PodInfo{NodeName: "m"}, node: node("n", 1), want: "node(s) didn't match the requested node name"},

		{name: "taint", node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},
		{name: "taint NoExecute", node: node("n", 1, tainted("NoExecute")), want: "node(s) had untolerated taint(s)"},
		{name: "soft taint", node: node("n", 1, tainted("PreferNoSchedule"))},
		{name: "tolerated", pod: sdk.PodInfo{Tolerations: []sdk.Toleration{{Key: "k", Value: "v"}}}, node: node("n", 1, tainted("NoSchedule"))},
		{name: "tolerated for another effect", pod: sdk.PodInfo{Tolerations: []sdk.Toleration{{Key: "k", Operator: "Exists", Effect: "NoExecute"}}},
			node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},
		{name: "all tolerated", pod: sdk.PodInfo{Tolerations: []sdk.Toleration{{Operator: "Exists"}}}, node: node("n", 1, tainted("NoSchedule"))},
		{name: "operator of the future", pod: sdk.PodInfo{Tolerations: []sdk.Toleration{{Key: "k", Operator: "Gt", Value: "1"}}},
			node: node("n", 1, tainted("NoSchedule")), want: "node(s) had untolerated taint(s)"},

		{name: "port", pod: sdk.PodInfo{Ports: []sdk.HostPort{{Port: 80}}}, node: node("n", 1, used(sdk.HostPort{IP: "10.0.0.1", Port: 80, Protocol: "TCP"})),
			want: "node(s) didn't have free ports for the requested pod ports"},
		{name: "free port", pod: sdk.PodInfo{Ports: []sdk.HostPort{{Port: 80}}}, node: node("n", 1, used(sdk.HostPort{Port: 80, Protocol: "UDP"}))},
		{name: "port goes before room", pod: sdk.PodInfo{Ports: []sdk.HostPort{{Port: 80}}, Requests: sdk.Resources{MilliCPU: 2}},
			node: node("n", 1, used(sdk.HostPort{Port: 80})), want: "node(s) didn't have free ports for the requested pod ports"},

		{name: "selector", pod: sdk.PodInfo{NodeSelector: map[string]string{"host": "n"}}, node: node("n", 1)},
		{name: "selector otherwise", pod: sdk.PodInfo{NodeSelector: map[string]string{"host": "m"}}, node: node("n", 1), want: noMatch},
		{name: "selector without label", pod: sdk.PodInfo{NodeSelector: map[string]string{"none": ""}}, node: node("n", 1), want: noMatch},
		{name: "no terms match nothing", pod: sdk.PodInfo{Affinity: required()}, node: node("n", 1), want: noMatch},
		{name: "an empty term matches nothing", pod: sdk.PodInfo{Affinity: required(sdk.NodeTerm{})}, node: node("n", 1), want: noMatch},
		{name: "one term of two", pod: sdk.PodInfo{Affinity: required(expr("host", "In", "x"), expr("host", "Exists"))}, node: node("n", 1)},
		{name: "not in", pod: sdk.PodInfo{Affinity: required(expr("host", "NotIn", "n", "x"))}, node: node("n", 1), want: noMatch},
		{name: "not in, without label", pod: sdk.PodInfo{Affinity: required(expr("none", "NotIn", "n"))}, node: node("n", 1)},
		{name: "does not exist", pod: sdk.PodInfo{Affinity: required(expr("host", "DoesNotExist"))}, node: node("n", 1), want: noMatch},
		{name: "greater", pod: sdk.PodInfo{Affinity: required(expr("host", "Gt", "4"))}, node: node("5", 1)},
		{name: "not greater", pod: sdk.PodInfo{Affinity: required(expr("host", "Gt", "5"))}, node: node("5", 1), want: noMatch},
		{name: "less", pod: sdk.PodInfo{Affinity: required(expr("host", "Lt", "6"))}, node: node("5", 1)},
		{name: "no number", pod: sdk.PodInfo{Affinity: required(expr("host", "Lt", "6"))}, node: node("five", 1), want: noMatch},
		{name: "nonsense", pod: sdk.PodInfo{Affinity: required(expr("host", "Near", "n"))}, node: node("n", 1), want: noMatch},
		{name: "Exists with a value", pod: sdk.PodInfo{Affinity: required(expr("host", "Exists", "n"))}, node: node("n", 1), want: noMatch},
		{name: "by field", pod: sdk.PodInfo{Affinity: required(sdk.NodeTerm{Fields: []sdk.Requirement{field("n")}})}, node: node("n", 1)},
		{name: "by field and label", pod: sdk.PodInfo{Affinity: required(sdk.NodeTerm{Fields: []sdk.Requirement{field("n")},
			Expressions: []sdk.Requirement{{Key: "host", Operator: "In", Values: []string{"x"}}}})}, node: node("n", 1), want: noMatch},
		{name: "fields in conflict", pod: sdk.PodInfo{Affinity: required(sdk.NodeTerm{Fields: []sdk.Requirement{field("n"), field("m")}})},
			node: node("n", 1), want: "pod affinity terms conflict"},
		{name: "another node by field", pod: sdk.PodInfo{Affinity: required(sdk.NodeTerm{Fields: []sdk.Requirement{field("m")}})},
			node: node("n", 1), want: "node(s) didn't satisfy plugin(s) [NodeAffinity]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sdk.Try(open(t, tt.config), tt.pod, tt.node)
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
	terms := []sdk.NodeTerm{expr("x", "In", "1"), expr("x", "NotIn", "1"), expr("x", "Exists"), expr("x", "DoesNotExist"), expr("x", "Gt", "0"), expr("x", "Lt", "1")}
	want := map[string]string{"1": "In Exists Gt", "2": "NotIn Exists Gt", "": "NotIn DoesNotExist"}
	for _, others := range []int{0, 100} {
		for value, ops := range want {
			var nodes []sdk.NodeInfo
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
				got, err := sdk.Try(open(t, ""), sdk.PodInfo{Affinity: required(term)}, nodes...)
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
		if _, err := scheduling.New([]byte(bad)); err == nil {
			t.Errorf("config %s was taken", bad)
		}
	}
	p := open(t, `{"NodeResourcesFit":{"cpuWeight":1}}`)
	var names []string
	for _, m := range p.Members {
		names = append(names, m.Name)
	}
	want := []string{"NodeUnschedulable", "NodeName", "TaintToleration", "NodeAffinity", "NodePorts", "NodeResourcesFit", "NodeResourcesBalancedAllocation", "ImageLocality"}
	if !slices.Equal(names, want) {
		t.Errorf("members %v, want %v", names, want)
	}
}
