package daemonset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// mold makes the pods of a template, which differ in the name of their node only. All
// else is encoded once.
type mold struct{ before, after []byte }

// hole is where the name of the node goes: no value of an affinity looks like it.
const hole = "\x00"

// newMold makes one for pods labelled with hash.
func newMold(set *appsv1.DaemonSet, hash string) (*mold, error) {
	t := &set.Spec.Template
	meta := metav1.ObjectMeta{
		GenerateName: set.Name + "-", Namespace: set.Namespace,
		Labels: maps.Clone(t.Labels), Annotations: t.Annotations, Finalizers: t.Finalizers,
		OwnerReferences: []metav1.OwnerReference{metav1.NewControllerRef(set, apiVersion, kind)},
	}
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	if g := generation(set); g != "" {
		meta.Labels[generationLabel] = g
	}
	meta.Labels[appsv1.DefaultDaemonSetUniqueLabelKey] = hash
	spec := t.Spec
	spec.Tolerations = tolerations(&t.Spec)
	spec.Affinity = nil
	rest, err := json.Marshal(spec)
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	where, err := json.Marshal(pinned(t.Spec.Affinity))
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	head, err := json.Marshal(meta)
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	mark, err := json.Marshal(hole)
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	left, right, _ := bytes.Cut(where, mark)
	m := &mold{}
	m.before = append(append(append(append(m.before, `{"metadata":`...), head...), `,"spec":{"affinity":`...), left...)
	m.after = append(m.after, right...)
	if len(rest) > len("{}") {
		m.after = append(append(m.after, ','), rest[1:]...)
	} else {
		m.after = append(m.after, '}')
	}
	m.after = append(m.after, '}')
	return m, nil
}

// pinned is the affinity of a pod that belongs on one node: the template's, with this
// in place of the nodes that it asks for, which that node is one of.
func pinned(a *corev1.Affinity) *corev1.Affinity {
	out, onNodes := corev1.Affinity{}, corev1.NodeAffinity{}
	if a != nil {
		out = *a
	}
	if out.NodeAffinity != nil {
		onNodes = *out.NodeAffinity
	}
	onNodes.RequiredDuringSchedulingIgnoredDuringExecution = &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{{
		MatchFields: []corev1.NodeSelectorRequirement{{Key: nameField, Operator: corev1.NodeSelectorOpIn, Values: []string{hole}}}}}}
	out.NodeAffinity = &onNodes
	return &out
}

// pod is the body of the pod for a node.
func (m *mold) pod(at string) ([]byte, error) {
	name, err := json.Marshal(at)
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	return bytes.Join([][]byte{m.before, m.after}, name), nil
}

// draft is a pod to be made, of which only the metadata comes back.
type draft struct {
	metav1.ObjectMeta `json:"metadata"`
	body              []byte
}

// APIResource makes a draft a client.Object.
func (*draft) APIResource() string { return "v1/pods" }

// EncodedJSON makes a draft a client.Encoded.
func (d *draft) EncodedJSON() []byte { return d.body }

var _ client.Encoded = (*draft)(nil)
