// Package networking defines the kinds of the API group networking.k8s.io.
package networking

import (
	"context"
	"fmt"

	networkingv1 "k8s.io/api/networking/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/apis/networking"
	_ "k8s.io/kubernetes/pkg/apis/networking/install"
	networkingvalidation "k8s.io/kubernetes/pkg/apis/networking/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds makes the definitions of the group.
func Kinds() []*resource.Definition {
	return []*resource.Definition{
		kind.Define(kind.Names{Group: networkingv1.GroupName, Kind: "Ingress", Resource: "ingresses", NeedsImplementer: true, Short: []string{"ing"}, Prefix: "ingress"}, kind.Rule[networkingv1.Ingress, networking.Ingress]{
			Status:         kind.HasStatus,
			Generation:     kind.BySpec,
			Validate:       networkingvalidation.ValidateIngressCreate,
			ValidateUpdate: networkingvalidation.ValidateIngressUpdate,
			ValidateStatus: networkingvalidation.ValidateIngressStatusUpdate,
			Warn: func(_ context.Context, i, old *networking.Ingress) []string {
				const class = "kubernetes.io/ingress.class"
				if _, ok := i.Annotations[class]; ok && old == nil && i.Spec.IngressClassName == nil {
					return []string{fmt.Sprintf("annotation %q is deprecated, please use 'spec.ingressClassName' instead", class)}
				}
				return nil
			},
		}),
		kind.Define(kind.Names{Group: networkingv1.GroupName, Kind: "IngressClass", Resource: "ingressclasses", Cluster: true}, kind.Rule[networkingv1.IngressClass, networking.IngressClass]{
			Generation:     kind.BySpec,
			Validate:       networkingvalidation.ValidateIngressClass,
			ValidateUpdate: networkingvalidation.ValidateIngressClassUpdate,
		}),
		kind.Define(kind.Names{Group: networkingv1.GroupName, Kind: "IPAddress", Resource: "ipaddresses", Short: []string{"ip"}, Cluster: true}, kind.Rule[networkingv1.IPAddress, networking.IPAddress]{
			Validate:       networkingvalidation.ValidateIPAddress,
			ValidateUpdate: kind.Both(networkingvalidation.ValidateIPAddress, networkingvalidation.ValidateIPAddressUpdate),
		}),
		kind.Define(kind.Names{Group: networkingv1.GroupName, Kind: "NetworkPolicy", Resource: "networkpolicies", NeedsImplementer: true, Short: []string{"netpol"}}, kind.Rule[networkingv1.NetworkPolicy, networking.NetworkPolicy]{
			Generation: kind.BySpec,
			Validate: func(p *networking.NetworkPolicy) field.ErrorList {
				return networkingvalidation.ValidateNetworkPolicy(p, networkingvalidation.ValidationOptionsForNetworking(p, nil))
			},
			ValidateUpdate: func(p, old *networking.NetworkPolicy) field.ErrorList {
				return networkingvalidation.ValidateNetworkPolicyUpdate(p, old, networkingvalidation.ValidationOptionsForNetworking(p, old))
			},
			Warn: networkPolicyWarnings,
		}),
		kind.Define(kind.Names{Group: networkingv1.GroupName, Kind: "ServiceCIDR", Resource: "servicecidrs", Cluster: true}, kind.Rule[networkingv1.ServiceCIDR, networking.ServiceCIDR]{
			Status:         kind.HasStatusOnly,
			Validate:       networkingvalidation.ValidateServiceCIDR,
			ValidateUpdate: networkingvalidation.ValidateServiceCIDRUpdate,
			ValidateStatus: networkingvalidation.ValidateServiceCIDRStatusUpdate,
		}),
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
