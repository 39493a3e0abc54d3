package daemonset

import (
	"slices"
	"strconv"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// fit tells which nodes the pods of a template belong on. It is made once for all
// nodes.
type fit struct {
	nodeName    string // "": any
	labels      map[string]string
	terms       []term
	limited     bool // there is a required affinity; without terms it matches nothing
	tolerations []corev1.Toleration
}

// verdict is what a DaemonSet makes of a node.
type verdict struct {
	run  bool // it is to have a pod
	stay bool // a pod that is there goes on
}

// newFit reads a template. A term that makes no sense matches nothing.
func newFit(set *appsv1.DaemonSet) *fit {
	spec := &set.Spec.Template.Spec
	f := &fit{nodeName: spec.NodeName, labels: spec.NodeSelector, tolerations: tolerations(spec)}
	if spec.Affinity == nil || spec.Affinity.NodeAffinity == nil {
		return f
	}
	required := spec.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	if required == nil {
		return f
	}
	f.limited = true
	for i := range required.NodeSelectorTerms {
		if t, ok := newTerm(&required.NodeSelectorTerms[i]); ok {
			f.terms = append(f.terms, t)
		}
	}
	return f
}

// judge holds a node against the template, as upstream's NodeShouldRunDaemonPod: a
// pod that runs stays under a taint that only keeps new ones away.
func (f *fit) judge(n *node) verdict {
	if f.nodeName != "" && f.nodeName != n.Name || !f.selects(n) {
		return verdict{}
	}
	v := verdict{run: true, stay: true}
	for i := range n.Spec.Taints {
		t := &n.Spec.Taints[i]
		switch {
		case t.Effect != corev1.TaintEffectNoSchedule && t.Effect != corev1.TaintEffectNoExecute || f.tolerates(t):
		case t.Effect == corev1.TaintEffectNoExecute:
			return verdict{}
		default:
			v.run = false
		}
	}
	return v
}

func (f *fit) selects(n *node) bool {
	for k, v := range f.labels {
		if got, ok := n.Labels[k]; !ok || got != v {
			return false
		}
	}
	return !f.limited || slices.ContainsFunc(f.terms, func(t term) bool { return t.matches(n) })
}

func (f *fit) tolerates(t *corev1.Taint) bool {
	return slices.ContainsFunc(f.tolerations, func(x corev1.Toleration) bool { return tolerates(&x, t) })
}

// tolerates compares as upstream does; the operators Lt and Gt are those of a feature
// that is off (TaintTolerationComparisonOperators), and match nothing.
func tolerates(x *corev1.Toleration, t *corev1.Taint) bool {
	if x.Effect != "" && x.Effect != t.Effect || x.Key != "" && x.Key != t.Key {
		return false
	}
	switch x.Operator {
	case "", corev1.TolerationOpEqual:
		return x.Value == t.Value
	case corev1.TolerationOpExists:
		return true
	}
	return false
}

// tolerations are those of a daemon's pods: the template's and those that keep them
// where they are while a node is in trouble.
// https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#taints-and-tolerations
func tolerations(spec *corev1.PodSpec) []corev1.Toleration {
	out := slices.Clone(spec.Tolerations)
	add := func(key string, effect corev1.TaintEffect) {
		x := corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: effect}
		found := false
		for i := range out {
			if o := &out[i]; o.Key == x.Key && o.Operator == x.Operator && o.Effect == x.Effect && o.Value == "" {
				*o, found = x, true // without an end, whatever the template says
			}
		}
		if !found {
			out = append(out, x)
		}
	}
	add(corev1.TaintNodeNotReady, corev1.TaintEffectNoExecute)
	add(corev1.TaintNodeUnreachable, corev1.TaintEffectNoExecute)
	add(corev1.TaintNodeDiskPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodeMemoryPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodePIDPressure, corev1.TaintEffectNoSchedule)
	add(corev1.TaintNodeUnschedulable, corev1.TaintEffectNoSchedule)
	if spec.HostNetwork {
		add(corev1.TaintNodeNetworkUnavailable, corev1.TaintEffectNoSchedule)
	}
	return out
}

// term is one of a node selector: all of its requirements hold.
type term []requirement

// requirement is one of a label, or of the field metadata.name.
type requirement struct {
	corev1.NodeSelectorRequirement
	field  bool
	number int64 // of Gt and Lt
}

// nameField is the only field of nodes that terms ask for.
const nameField = "metadata.name"

// newTerm is false for a term that matches nothing: one that is empty, or says what
// cannot be.
func newTerm(t *corev1.NodeSelectorTerm) (term, bool) {
	var out term
	for _, r := range t.MatchExpressions {
		q := requirement{NodeSelectorRequirement: r}
		if !q.prepare() {
			return nil, false
		}
		out = append(out, q)
	}
	for _, r := range t.MatchFields {
		if len(r.Values) != 1 || r.Operator != corev1.NodeSelectorOpIn && r.Operator != corev1.NodeSelectorOpNotIn {
			return nil, false
		}
		out = append(out, requirement{NodeSelectorRequirement: r, field: true})
	}
	return out, len(out) > 0
}

func (q *requirement) prepare() bool {
	switch q.Operator {
	case corev1.NodeSelectorOpIn, corev1.NodeSelectorOpNotIn:
		return len(q.Values) > 0
	case corev1.NodeSelectorOpExists, corev1.NodeSelectorOpDoesNotExist:
		return len(q.Values) == 0
	case corev1.NodeSelectorOpGt, corev1.NodeSelectorOpLt:
		if len(q.Values) != 1 {
			return false
		}
		n, err := strconv.ParseInt(q.Values[0], 10, 64)
		q.number = n
		return err == nil
	}
	return false
}

func (t term) matches(n *node) bool {
	for i := range t {
		if !t[i].matches(n) {
			return false
		}
	}
	return true
}

func (q *requirement) matches(n *node) bool {
	value, ok := n.Labels[q.Key]
	if q.field {
		value, ok = "", true
		if q.Key == nameField {
			value = n.Name
		}
	}
	switch q.Operator {
	case corev1.NodeSelectorOpIn:
		return ok && slices.Contains(q.Values, value)
	case corev1.NodeSelectorOpNotIn:
		return !ok || !slices.Contains(q.Values, value)
	case corev1.NodeSelectorOpExists:
		return ok
	case corev1.NodeSelectorOpDoesNotExist:
		return !ok
	}
	v, err := strconv.ParseInt(value, 10, 64)
	return ok && err == nil && (q.Operator == corev1.NodeSelectorOpGt && v > q.number || q.Operator == corev1.NodeSelectorOpLt && v < q.number)
}
