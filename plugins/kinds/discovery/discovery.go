// Package discovery defines the kinds of the API group discovery.k8s.io.
package discovery

import (
	"context"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/discovery"
	_ "k8s.io/kubernetes/pkg/apis/discovery/install"
	discoveryvalidation "k8s.io/kubernetes/pkg/apis/discovery/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: discoveryv1.GroupName, Kind: "EndpointSlice", Resource: "endpointslices"}, endpointSlices()),
	}
}

func endpointSlices() kind.Rule[discoveryv1.EndpointSlice, discovery.EndpointSlice] {
	return kind.Rule[discoveryv1.EndpointSlice, discovery.EndpointSlice]{
		Generation: kind.BySpec,
		Changed: func(s, old *discoveryv1.EndpointSlice) bool {
			return s.AddressType != old.AddressType ||
				!equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) ||
				!equality.Semantic.DeepEqual(s.Ports, old.Ports) ||
				!equality.Semantic.DeepEqual(s.Labels, old.Labels)
		},
		// The v1 API has no topology labels on endpoints; only what older
		// versions stored may keep them, as long as endpoints do not change.
		Internal: func(_ context.Context, s, old *discovery.EndpointSlice) {
			if old != nil && equality.Semantic.DeepEqual(old.Endpoints, s.Endpoints) {
				return
			}
			for i := range s.Endpoints {
				s.Endpoints[i].DeprecatedTopology = nil
			}
		},
		Validate:       discoveryvalidation.ValidateEndpointSliceCreate,
		ValidateUpdate: discoveryvalidation.ValidateEndpointSliceUpdate,
		Warn: func(_ context.Context, s, old *discovery.EndpointSlice) []string {
			var out []string
			if old == nil && s.AddressType == discovery.AddressTypeFQDN {
				out = append(out, "spec.addressType: FQDN endpoints are deprecated")
			}
			switch s.Labels[discoveryv1.LabelManagedBy] {
			case "endpointslice-controller.k8s.io", "endpointslicemirroring-controller.k8s.io":
				return out
			}
			for i, e := range s.Endpoints {
				for j, a := range e.Addresses {
					out = append(out, utilvalidation.GetWarningsForIP(field.NewPath("endpoints").Index(i).Child("addresses").Index(j), a)...)
				}
			}
			return out
		},
	}
}
