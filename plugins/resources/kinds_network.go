package resources

import (
	"context"
	"fmt"

	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/discovery"
	discoveryvalidation "k8s.io/kubernetes/pkg/apis/discovery/validation"
	"k8s.io/kubernetes/pkg/apis/networking"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"

	"github.com/pintle-io/pintle/kernel/resource"
)

func networkKinds() []*resource.Definition {
	return []*resource.Definition{
		define(names{group: discoveryv1.GroupName, kind: "EndpointSlice", resource: "endpointslices"}, endpointSlices()),
		define(names{group: networkingv1.GroupName, kind: "Ingress", resource: "ingresses", short: []string{"ing"}, prefix: "ingress"}, rule[networkingv1.Ingress, networking.Ingress]{
			status:         hasStatus,
			generation:     bySpec,
			validate:       networkingvalidation.ValidateIngressCreate,
			validateUpdate: networkingvalidation.ValidateIngressUpdate,
			validateStatus: networkingvalidation.ValidateIngressStatusUpdate,
			warn: func(_ context.Context, i, old *networking.Ingress) []string {
				const class = "kubernetes.io/ingress.class"
				if _, ok := i.Annotations[class]; ok && old == nil && i.Spec.IngressClassName == nil {
					return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", class)}
				}
				return nil
			},
		}),
		define(names{group: networkingv1.GroupName, kind: "IngressClass", resource: "ingressclasses", cluster: true}, rule[networkingv1.IngressClass, networking.IngressClass]{
			generation:     bySpec,
			validate:       networkingvalidation.ValidateIngressClass,
			validateUpdate: networkingvalidation.ValidateIngressClassUpdate,
		}),
		define(names{group: networkingv1.GroupName, kind: "IPAddress", resource: "ipaddresses", short: []string{"ip"}, cluster: true}, rule[networkingv1.IPAddress, networking.IPAddress]{
			validate:       networkingvalidation.ValidateIPAddress,
			validateUpdate: both(networkingvalidation.ValidateIPAddress, networkingvalidation.ValidateIPAddressUpdate),
		}),
		define(names{group: networkingv1.GroupName, kind: "NetworkPolicy", resource: "networkpolicies", short: []string{"netpol"}}, rule[networkingv1.NetworkPolicy, networking.NetworkPolicy]{
			generation: bySpec,
			validate: func(p *networking.NetworkPolicy) field.ErrorList {
				return networkingvalidation.ValidateNetworkPolicy(p, networkingvalidation.ValidationOptionsForNetworking(p, nil))
			},
			validateUpdate: func(p, old *networking.NetworkPolicy) field.ErrorList {
				return networkingvalidation.ValidateNetworkPolicyUpdate(p, old, networkingvalidation.ValidationOptionsForNetworking(p, old))
			},
			warn: networkPolicyWarnings,
		}),
		define(names{group: networkingv1.GroupName, kind: "ServiceCIDR", resource: "servicecidrs", cluster: true}, rule[networkingv1.ServiceCIDR, networking.ServiceCIDR]{
			status:         hasStatusOnly,
			validate:       networkingvalidation.ValidateServiceCIDR,
			validateUpdate: networkingvalidation.ValidateServiceCIDRUpdate,
			validateStatus: networkingvalidation.ValidateServiceCIDRStatusUpdate,
		}),
	}
}

func endpointSlices() rule[discoveryv1.EndpointSlice, discovery.EndpointSlice] {
	return rule[discoveryv1.EndpointSlice, discovery.EndpointSlice]{
		generation: bySpec,
		changed: func(s, old *discoveryv1.EndpointSlice) bool {
			return s.AddressType != old.AddressType ||
				!equality.Semantic.DeepEqual(s.Endpoints, old.Endpoints) ||
				!equality.Semantic.DeepEqual(s.Ports, old.Ports) ||
				!equality.Semantic.DeepEqual(s.Labels, old.Labels)
		},
		// The v1 API has no topology labels on endpoints; only what older
		// versions stored may keep them, as long as endpoints do not change.
		internal: func(_ context.Context, s, old *discovery.EndpointSlice) {
			if old != nil && equality.Semantic.DeepEqual(old.Endpoints, s.Endpoints) {
				return
			}
			for i := range s.Endpoints {
				s.Endpoints[i].DeprecatedTopology = nil
			}
		},
		validate:       discoveryvalidation.ValidateEndpointSliceCreate,
		validateUpdate: discoveryvalidation.ValidateEndpointSliceUpdate,
		warn: func(_ context.Context, s, old *discovery.EndpointSlice) []string {
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

func networkPolicyWarnings(_ context.Context, p, _ *networking.NetworkPolicy) []string {
	var out []string
	warn := func(path *field.Path, peers []networking.NetworkPolicyPeer) {
		for i, peer := range peers {
			if peer.IPBlock == nil {
				continue
			}
			block := path.Index(i).Child("ipBlock")
			out = append(out, utilvalidation.GetWarningsForCIDR(block.Child("cidr"), peer.IPBlock.CIDR)...)
			for k, e := range peer.IPBlock.Except {
				out = append(out, utilvalidation.GetWarningsForCIDR(block.Child("except").Index(k), e)...)
			}
		}
	}
	spec := field.NewPath("spec")
	for i, r := range p.Spec.Ingress {
		warn(spec.Child("ingress").Index(i).Child("from"), r.From)
	}
	for i, r := range p.Spec.Egress {
		warn(spec.Child("egress").Index(i).Child("to"), r.To)
	}
	return out
}
