package discovery_test

import (
	"testing"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

func TestEndpointSliceGeneration(t *testing.T) {
	d := kindtest.Definition(t, "endpointslices.discovery.k8s.io")
	old := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "e", Namespace: "ns", ResourceVersion: "1"}, AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, DeprecatedTopology: map[string]string{"a": "b"}}}}
	if errs := kindtest.Create(t, d, old); len(errs) > 0 || old.Endpoints[0].DeprecatedTopology != nil {
		t.Fatal(errs, old)
	}
	for name, tc := range map[string]struct {
		edit func(*discoveryv1.EndpointSlice)
		want int64
	}{
		"annotation": {func(s *discoveryv1.EndpointSlice) { s.Annotations = map[string]string{"a": "b"} }, 1},
		"label":      {func(s *discoveryv1.EndpointSlice) { s.Labels = map[string]string{"a": "b"} }, 2},
		"endpoint":   {func(s *discoveryv1.EndpointSlice) { s.Endpoints = nil }, 2},
	} {
		next := old.DeepCopy()
		tc.edit(next)
		if errs := kindtest.Update(t, d, next, old); len(errs) > 0 || next.Generation != tc.want {
			t.Errorf("%s: %v, generation %d, want %d", name, errs, next.Generation, tc.want)
		}
	}
}
