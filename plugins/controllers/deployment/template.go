package deployment

import (
	"bytes"
	"encoding/json"
	"slices"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// canonical is the template's JSON without the hash label. Both sides of a
// comparison come from the API and so carry the same defaults.
func canonical(t *corev1.PodTemplateSpec) []byte {
	if _, ok := t.Labels[hashLabel]; ok {
		t = client.Clone(t)
		delete(t.Labels, hashLabel)
	}
	b, err := json.Marshal(t)
	if err != nil {
		return nil // a tree of plain data always marshals
	}
	return b
}

func sameTemplate(a, b *corev1.PodTemplateSpec) bool { return bytes.Equal(canonical(a), canonical(b)) }

// findNew is the ReplicaSet of the present template; the oldest when there are
// several, as upstream chooses.
func findNew(d *appsv1.Deployment, sets []*appsv1.ReplicaSet) *appsv1.ReplicaSet {
	want := canonical(&d.Spec.Template)
	byAgeFirst := slices.Clone(sets)
	slices.SortFunc(byAgeFirst, byAge)
	for _, rs := range byAgeFirst {
		if bytes.Equal(canonical(&rs.Spec.Template), want) {
			return rs
		}
	}
	return nil
}
