package daemonset

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	lightcore "github.com/pintle-io/pintle/sdk/api/core/v1"
)

func newNode(name string, change ...func(*node)) *node {
	n := &node{}
	n.Name, n.Labels = name, map[string]string{"kubernetes.io/hostname": name}
	for _, f := range change {
		f(n)
	}
	return n
}

func labelled(k, v string) func(*node) { return func(n *node) { n.Labels[k] = v } }

func tainted(key string, effect lightcore.TaintEffect) func(*node) {
	return func(n *node) { n.Spec.Taints = append(n.Spec.Taints, lightcore.Taint{Key: key, Effect: effect}) }
}

func required(terms ...lightcore.NodeSelectorTerm) *lightcore.Affinity {
	return &lightcore.Affinity{NodeAffinity: &lightcore.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &lightcore.NodeSelector{NodeSelectorTerms: terms}}}
}

// TestJudge: which nodes get a pod, and on which one stays.
func TestJudge(t *testing.T) {
	both, none, stays := verdict{true, true}, verdict{}, verdict{false, true}
	plain := func(*lightcore.PodSpec) {}
	for name, c := range map[string]struct {
		spec func(*lightcore.PodSpec)
		node *node
		want verdict
	}{
		"any node":                       {plain, newNode("a"), both},
		"another node's name":            {func(s *lightcore.PodSpec) { s.NodeName = "b" }, newNode("a"), none},
		"its name":                       {func(s *lightcore.PodSpec) { s.NodeName = "a" }, newNode("a"), both},
		"selected":                       {func(s *lightcore.PodSpec) { s.NodeSelector = map[string]string{"color": "blue"} }, newNode("a", labelled("color", "blue")), both},
		"not selected":                   {func(s *lightcore.PodSpec) { s.NodeSelector = map[string]string{"color": "blue"} }, newNode("a", labelled("color", "green")), none},
		"selected by a value of nothing": {func(s *lightcore.PodSpec) { s.NodeSelector = map[string]string{"color": ""} }, newNode("a"), none},
		"cordoned":                       {plain, newNode("a", tainted(lightcore.TaintNodeUnschedulable, lightcore.TaintEffectNoSchedule)), both},
		"not ready":                      {plain, newNode("a", tainted(lightcore.TaintNodeNotReady, lightcore.TaintEffectNoExecute), tainted(lightcore.TaintNodeUnreachable, lightcore.TaintEffectNoExecute)), both},
		"not ready, as new nodes are":    {plain, newNode("a", tainted(lightcore.TaintNodeNotReady, lightcore.TaintEffectNoSchedule)), stays},
		"under pressure": {plain, newNode("a", tainted(lightcore.TaintNodeDiskPressure, lightcore.TaintEffectNoSchedule),
			tainted(lightcore.TaintNodeMemoryPressure, lightcore.TaintEffectNoSchedule), tainted(lightcore.TaintNodePIDPressure, lightcore.TaintEffectNoSchedule)), both},
		"without a network":                {plain, newNode("a", tainted(lightcore.TaintNodeNetworkUnavailable, lightcore.TaintEffectNoSchedule)), stays},
		"without a network, in the node's": {func(s *lightcore.PodSpec) { s.HostNetwork = true }, newNode("a", tainted(lightcore.TaintNodeNetworkUnavailable, lightcore.TaintEffectNoSchedule)), both},
		"a taint that keeps away":          {plain, newNode("a", tainted("t", lightcore.TaintEffectNoSchedule)), stays},
		"a taint that evicts":              {plain, newNode("a", tainted("t", lightcore.TaintEffectNoSchedule), tainted("u", lightcore.TaintEffectNoExecute)), none},
		"a taint that only asks":           {plain, newNode("a", tainted("t", lightcore.TaintEffectPreferNoSchedule)), both},
		"a taint that the template tolerates": {func(s *lightcore.PodSpec) {
			s.Tolerations = []lightcore.Toleration{{Operator: lightcore.TolerationOpExists}}
		}, newNode("a", tainted("t", lightcore.TaintEffectNoExecute)), both},
		"a toleration of a feature that is off": {func(s *lightcore.PodSpec) {
			s.Tolerations = []lightcore.Toleration{{Key: "t", Operator: lightcore.TolerationOpGt, Value: "-1"}}
		}, newNode("a", tainted("t", lightcore.TaintEffectNoSchedule)), stays},
		"a required affinity without terms": {func(s *lightcore.PodSpec) { s.Affinity = required() }, newNode("a"), none},
		"one of two terms": {func(s *lightcore.PodSpec) {
			s.Affinity = required(lightcore.NodeSelectorTerm{}, lightcore.NodeSelectorTerm{MatchFields: []lightcore.NodeSelectorRequirement{{Key: nameField, Operator: lightcore.NodeSelectorOpIn, Values: []string{"a"}}}})
		}, newNode("a"), both},
		"an affinity that is preferred says little": {func(s *lightcore.PodSpec) { s.Affinity = &lightcore.Affinity{NodeAffinity: &lightcore.NodeAffinity{}} }, newNode("a"), both},
	} {
		t.Run(name, func(t *testing.T) {
			set := &appsv1.DaemonSet{}
			c.spec(&set.Spec.Template.Spec)
			if got := newFit(set).judge(c.node); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// A template's own toleration of what daemons tolerate without an end gets no end.
func TestTolerations(t *testing.T) {
	short := int64(5)
	spec := &lightcore.PodSpec{Tolerations: []lightcore.Toleration{
		{Key: lightcore.TaintNodeNotReady, Operator: lightcore.TolerationOpExists, Effect: lightcore.TaintEffectNoExecute, TolerationSeconds: &short},
		{Key: "mine", Operator: lightcore.TolerationOpExists, TolerationSeconds: &short},
	}}
	var got []string
	for _, x := range tolerations(spec) {
		got = append(got, fmt.Sprint(x.Key, " ", x.Effect, " ", x.TolerationSeconds == nil))
	}
	same(t, "tolerations", got, []string{
		"node.kubernetes.io/not-ready NoExecute true", "mine  false", "node.kubernetes.io/unreachable NoExecute true", "node.kubernetes.io/disk-pressure NoSchedule true",
		"node.kubernetes.io/memory-pressure NoSchedule true", "node.kubernetes.io/pid-pressure NoSchedule true", "node.kubernetes.io/unschedulable NoSchedule true"})
	if spec.Tolerations[0].TolerationSeconds == nil {
		t.Error("the template was changed")
	}
}

// TestFitIsUpstreams asks upstream's library about random templates and nodes.
func TestFitIsUpstreams(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	requirement := func(field bool) lightcore.NodeSelectorRequirement {
		q := lightcore.NodeSelectorRequirement{Key: pick("a", "b", "n"), Operator: lightcore.NodeSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Near"))}
		if field {
			q.Key, q.Operator = nameField, lightcore.NodeSelectorOperator(pick("In", "NotIn", "Exists"))
		}
		for range r.IntN(3) {
			q.Values = append(q.Values, pick("x", "y", "1", "5", "node-1"))
		}
		return q
	}
	matched := 0
	for range 5000 {
		set, n := &appsv1.DaemonSet{}, newNode(pick("node-1", "node-2"))
		spec := &set.Spec.Template.Spec
		for range r.IntN(3) {
			n.Labels[pick("a", "b", "n")] = pick("x", "y", "1", "3", "9")
		}
		if r.IntN(4) == 0 {
			spec.NodeSelector = map[string]string{pick("a", "b"): pick("x", "y")}
		}
		if r.IntN(4) > 0 {
			var terms []lightcore.NodeSelectorTerm
			for range r.IntN(4) {
				var x lightcore.NodeSelectorTerm
				for range r.IntN(3) {
					x.MatchExpressions = append(x.MatchExpressions, requirement(false))
				}
				for range r.IntN(2) {
					x.MatchFields = append(x.MatchFields, requirement(true))
				}
				terms = append(terms, x)
			}
			spec.Affinity = required(terms...)
		}
		var theirs corev1.PodSpec
		var there corev1.Node
		convert(t, spec, &theirs)
		convert(t, n, &there)
		want, _ := nodeaffinity.NewRequiredNodeAffinity(theirs.NodeSelector, theirs.Affinity).Match(&there)
		if got := newFit(set).judge(n).run; got != want {
			text, _ := json.Marshal(spec)
			t.Fatalf("node %s with labels %v: %v, upstream says %v of %s", n.Name, n.Labels, got, want, text)
		}
		if want {
			matched++
		}
	}
	if matched < 500 {
		t.Errorf("only %d matched", matched)
	}
}

func convert(t testing.TB, from, to any) {
	t.Helper()
	b, err := json.Marshal(from)
	must(t, err)
	must(t, json.Unmarshal(b, to))
}

func TestToleratesAsUpstream(t *testing.T) {
	for _, key := range []string{"", "a", "b"} {
		for _, operator := range []lightcore.TolerationOperator{"", "Equal", "Exists", "Gt", "Lt"} {
			for _, value := range []string{"", "1"} {
				for _, effect := range []lightcore.TaintEffect{"", "NoSchedule", "NoExecute"} {
					x, taint := lightcore.Toleration{Key: key, Operator: operator, Value: value, Effect: effect}, lightcore.Taint{Key: "a", Value: "1", Effect: "NoSchedule"}
					theirs := corev1.Toleration{Key: key, Operator: corev1.TolerationOperator(operator), Value: value, Effect: corev1.TaintEffect(effect)}
					want := theirs.ToleratesTaint(klog.Background(), &corev1.Taint{Key: "a", Value: "1", Effect: corev1.TaintEffectNoSchedule}, false)
					if got := tolerates(&x, &taint); got != want {
						t.Errorf("%+v: %v, upstream says %v", x, got, want)
					}
				}
			}
		}
	}
}
