package daemonset

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"

	upstream "k8s.io/api/core/v1"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
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

func tainted(key string, effect corev1.TaintEffect) func(*node) {
	return func(n *node) { n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: key, Effect: effect}) }
}

func required(terms ...corev1.NodeSelectorTerm) *corev1.Affinity {
	return &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: terms}}}
}

// TestJudge: which nodes get a pod, and on which one stays.
func TestJudge(t *testing.T) {
	both, none, stays := verdict{true, true}, verdict{}, verdict{false, true}
	plain := func(*corev1.PodSpec) {}
	for name, c := range map[string]struct {
		spec func(*corev1.PodSpec)
		node *node
		want verdict
	}{
		"any node":                       {plain, newNode("a"), both},
		"another node's name":            {func(s *corev1.PodSpec) { s.NodeName = "b" }, newNode("a"), none},
		"its name":                       {func(s *corev1.PodSpec) { s.NodeName = "a" }, newNode("a"), both},
		"selected":                       {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"color": "blue"} }, newNode("a", labelled("color", "blue")), both},
		"not selected":                   {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"color": "blue"} }, newNode("a", labelled("color", "green")), none},
		"selected by a value of nothing": {func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"color": ""} }, newNode("a"), none},
		"cordoned":                       {plain, newNode("a", tainted(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)), both},
		"not ready":                      {plain, newNode("a", tainted(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute), tainted(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)), both},
		"not ready, as new nodes are":    {plain, newNode("a", tainted(corev1.TaintNodeNotReady, corev1.TaintEffectNoSchedule)), stays},
		"under pressure": {plain, newNode("a", tainted(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule),
			tainted(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule), tainted(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule)), both},
		"without a network":                   {plain, newNode("a", tainted(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)), stays},
		"without a network, in the node's":    {func(s *corev1.PodSpec) { s.HostNetwork = true }, newNode("a", tainted(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)), both},
		"a taint that keeps away":             {plain, newNode("a", tainted("t", corev1.TaintEffectNoSchedule)), stays},
		"a taint that evicts":                 {plain, newNode("a", tainted("t", corev1.TaintEffectNoSchedule), tainted("u", corev1.TaintEffectNoExecute)), none},
		"a taint that only asks":              {plain, newNode("a", tainted("t", corev1.TaintEffectPreferNoSchedule)), both},
		"a taint that the template tolerates": {func(s *corev1.PodSpec) { s.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}} }, newNode("a", tainted("t", corev1.TaintEffectNoExecute)), both},
		"a toleration of a feature that is off": {func(s *corev1.PodSpec) {
			s.Tolerations = []corev1.Toleration{{Key: "t", Operator: corev1.TolerationOpGt, Value: "-1"}}
		}, newNode("a", tainted("t", corev1.TaintEffectNoSchedule)), stays},
		"a required affinity without terms": {func(s *corev1.PodSpec) { s.Affinity = required() }, newNode("a"), none},
		"one of two terms": {func(s *corev1.PodSpec) {
			s.Affinity = required(corev1.NodeSelectorTerm{}, corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: nameField, Operator: corev1.NodeSelectorOpIn, Values: []string{"a"}}}})
		}, newNode("a"), both},
		"an affinity that is preferred says little": {func(s *corev1.PodSpec) { s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}} }, newNode("a"), both},
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
	spec := &corev1.PodSpec{Tolerations: []corev1.Toleration{
		{Key: corev1.TaintNodeNotReady, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &short},
		{Key: "mine", Operator: corev1.TolerationOpExists, TolerationSeconds: &short},
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
	requirement := func(field bool) corev1.NodeSelectorRequirement {
		q := corev1.NodeSelectorRequirement{Key: pick("a", "b", "n"), Operator: corev1.NodeSelectorOperator(pick("In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt", "Near"))}
		if field {
			q.Key, q.Operator = nameField, corev1.NodeSelectorOperator(pick("In", "NotIn", "Exists"))
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
			var terms []corev1.NodeSelectorTerm
			for range r.IntN(4) {
				var x corev1.NodeSelectorTerm
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
		var theirs upstream.PodSpec
		var there upstream.Node
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
		for _, operator := range []corev1.TolerationOperator{"", "Equal", "Exists", "Gt", "Lt"} {
			for _, value := range []string{"", "1"} {
				for _, effect := range []corev1.TaintEffect{"", "NoSchedule", "NoExecute"} {
					x, taint := corev1.Toleration{Key: key, Operator: operator, Value: value, Effect: effect}, corev1.Taint{Key: "a", Value: "1", Effect: "NoSchedule"}
					theirs := upstream.Toleration{Key: key, Operator: upstream.TolerationOperator(operator), Value: value, Effect: upstream.TaintEffect(effect)}
					want := theirs.ToleratesTaint(klog.Background(), &upstream.Taint{Key: "a", Value: "1", Effect: upstream.TaintEffectNoSchedule}, false)
					if got := tolerates(&x, &taint); got != want {
						t.Errorf("%+v: %v, upstream says %v", x, got, want)
					}
				}
			}
		}
	}
}
