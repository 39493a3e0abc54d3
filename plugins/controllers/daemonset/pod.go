package daemonset

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// node is what the controller looks at in a node. What else changes about nodes, above
// all their heartbeats, is not read.
type node struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Taints []corev1.Taint `json:"taints"`
	} `json:"spec"`
}

// APIResource makes a node a client.Object.
func (*node) APIResource() string { return "v1/nodes" }

// pod is what the controller looks at in a pod. It is read for every pod of a
// DaemonSet that changed, so it holds nothing else, and what was found in it is kept: a
// pod that has not changed is the same object in the next round.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName string    `json:"nodeName"`
		Affinity *affinity `json:"affinity"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		Conditions []condition     `json:"conditions"`
	} `json:"status"`

	found *findings // nil before they are looked for
}

type findings struct {
	ready  bool
	since  time.Time
	target string
	hash   string
}

// find looks once into a pod.
func (p *pod) find() *findings {
	if p.found != nil {
		return p.found
	}
	f := &findings{target: p.lookForTarget(), hash: p.Labels[appsv1.DefaultDaemonSetUniqueLabelKey]}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			f.ready, f.since = true, c.LastTransitionTime.Time()
			break
		}
	}
	p.found = f
	return f
}

// affinity is one as far as it names a node.
type affinity struct {
	NodeAffinity *struct {
		Required *struct {
			NodeSelectorTerms []struct {
				MatchFields []corev1.NodeSelectorRequirement `json:"matchFields"`
			} `json:"nodeSelectorTerms"`
		} `json:"requiredDuringSchedulingIgnoredDuringExecution"`
	} `json:"nodeAffinity"`
}

type condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) deleting() bool { return p.DeletionTimestamp != nil }

func (p *pod) finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// target is the node that the pod is on, or is to be on; "" for a pod of another
// make.
func (p *pod) target() string { return p.find().target }

func (p *pod) lookForTarget() string {
	if p.Spec.NodeName != "" {
		return p.Spec.NodeName
	}
	if p.Spec.Affinity == nil || p.Spec.Affinity.NodeAffinity == nil || p.Spec.Affinity.NodeAffinity.Required == nil {
		return ""
	}
	for _, t := range p.Spec.Affinity.NodeAffinity.Required.NodeSelectorTerms {
		for _, q := range t.MatchFields {
			if q.Key != nameField || q.Operator != corev1.NodeSelectorOpIn {
				continue
			}
			if len(q.Values) != 1 {
				return ""
			}
			return q.Values[0]
		}
	}
	return ""
}

// hash names the template that the pod was made of.
func (p *pod) hash() string { return p.find().hash }

func (p *pod) ready() bool { return p.find().ready }

// availableIn is how long it takes until a ready pod has been so for minReady; ok is
// false when it is not ready.
func (p *pod) availableIn(minReady time.Duration, now time.Time) (wait time.Duration, ok bool) {
	f := p.find()
	switch {
	case !f.ready:
		return 0, false
	case minReady <= 0:
		return 0, true // whatever the node's clock says
	case f.since.IsZero():
		return minReady, true
	}
	return max(f.since.Add(minReady).Sub(now), 0), true
}

// byAge puts the pods of a node in order: those on it first, then the oldest.
func byAge(pods []*pod) {
	slices.SortFunc(pods, func(a, b *pod) int {
		if on := a.Spec.NodeName != ""; on != (b.Spec.NodeName != "") {
			if on {
				return -1
			}
			return 1
		}
		return cmp.Or(a.CreationTimestamp.Time().Compare(b.CreationTimestamp.Time()), cmp.Compare(a.Name, b.Name))
	})
}

// generationLabel is what older versions told pods of templates apart by; upstream
// still writes and reads it.
const generationLabel = "pod-template-generation"

// generation counts the templates of a DaemonSet, as its annotation has it; "" when
// that is no number.
func generation(set *appsv1.DaemonSet) string {
	n, err := strconv.ParseInt(set.Annotations[appsv1.DeprecatedTemplateGeneration], 10, 64)
	if err != nil {
		return ""
	}
	return strconv.FormatInt(n, 10)
}
