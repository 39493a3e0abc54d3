package statefulset

import (
	"encoding/json"
	"fmt"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// mold makes the pods of one revision. What all share is encoded once.
type mold struct {
	set      *appsv1.StatefulSet
	template *corev1.PodTemplateSpec
	revision string
	volumes  []json.RawMessage // those of the template that no claim takes the place of
	rest     json.RawMessage   // the spec without what differs
}

// newMold makes one of the template that a revision holds.
func newMold(set *appsv1.StatefulSet, template *corev1.PodTemplateSpec, revision string) (*mold, error) {
	m := &mold{set: set, template: template, revision: revision}
	for _, v := range template.Spec.Volumes {
		if slices.ContainsFunc(set.Spec.VolumeClaimTemplates, func(t corev1.PersistentVolumeClaim) bool { return t.Name == v.Name }) {
			continue
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("encode volume %s: %w", v.Name, err)
		}
		m.volumes = append(m.volumes, b)
	}
	spec := template.Spec
	spec.Volumes, spec.Hostname, spec.Subdomain = nil, "", ""
	var err error
	if m.rest, err = json.Marshal(spec); err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	return m, nil
}

// pod is the body of the pod with an ordinal.
func (m *mold) pod(ordinal int) ([]byte, error) {
	meta := metav1.ObjectMeta{
		Name: podName(m.set, ordinal), GenerateName: m.set.Name + "-", Namespace: m.set.Namespace,
		Annotations: m.template.Annotations, Finalizers: m.template.Finalizers,
		Labels:          with(with(m.template.Labels, identity(m.set, ordinal)), map[string]string{appsv1.StatefulSetRevisionLabel: m.revision}),
		OwnerReferences: []metav1.OwnerReference{metav1.NewControllerRef(m.set, apiVersion, kind)},
	}
	own := struct {
		Hostname  string            `json:"hostname"`
		Subdomain string            `json:"subdomain,omitempty"`
		Volumes   []json.RawMessage `json:"volumes,omitempty"`
	}{Hostname: meta.Name, Subdomain: m.set.Spec.ServiceName}
	for _, t := range m.set.Spec.VolumeClaimTemplates {
		b, err := json.Marshal(volume{Name: t.Name, Claim: &claimName{claimOf(m.set, t.Name, ordinal)}})
		if err != nil {
			return nil, fmt.Errorf("encode volume %s: %w", t.Name, err)
		}
		own.Volumes = append(own.Volumes, b)
	}
	own.Volumes = append(own.Volumes, m.volumes...)
	spec, err := json.Marshal(own)
	if err != nil {
		return nil, fmt.Errorf("encode pod: %w", err)
	}
	if len(m.rest) > len("{}") {
		spec = append(append(spec[:len(spec)-1], ','), m.rest[1:]...)
	}
	return json.Marshal(map[string]any{"metadata": meta, "spec": json.RawMessage(spec)})
}

// draft is an object to be made, of which the JSON is at hand.
type draft struct {
	metav1.ObjectMeta `json:"metadata"`
	resource          string
	body              []byte
}

// APIResource makes a draft a client.Object.
func (d *draft) APIResource() string { return d.resource }

// EncodedJSON makes a draft a client.Encoded.
func (d *draft) EncodedJSON() []byte { return d.body }

var _ client.Encoded = (*draft)(nil)
