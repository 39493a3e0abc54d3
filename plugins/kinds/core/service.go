package core

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/kubernetes/pkg/api/service"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// A Service holds addresses and ports that no other Service may have. Each is
// an object of its own, written in the Service's transaction: an IPAddress
// named by the address, as upstream makes them, and for a node port a
// RangeAllocation of that one port, which is ours. That the name is taken is
// what makes it unique.

var (
	servicesResource    = schema.GroupResource{Resource: "services"}
	ipAddressesResource = schema.GroupResource{Group: "networking.k8s.io", Resource: "ipaddresses"}
	serviceCIDRResource = schema.GroupResource{Group: "networking.k8s.io", Resource: "servicecidrs"}
	rangesResource      = schema.GroupResource{Resource: "rangeallocations"}
)

func serviceKinds(opts Options) []*resource.Definition {
	a := newAllocator(opts)
	return []*resource.Definition{
		kind.Define(kind.Names{Kind: "Service", Resource: "services", NeedsImplementer: true, Short: []string{"svc"}, Categories: kind.All, Prefix: "services/specs",
			Verbs: kind.AllVerbs}, kind.Rule[corev1.Service, core.Service]{
			Status:         kind.HasStatus,
			CreateOnUpdate: true,
			ReturnDeleted:  true,
			Create: func(_ context.Context, s *corev1.Service) {
				if s.Spec.ClusterIP != "" && len(s.Spec.ClusterIPs) == 0 {
					s.Spec.ClusterIPs = []string{s.Spec.ClusterIP}
				}
			},
			Update:   func(_ context.Context, s, old *corev1.Service) { prepareService(s, old) },
			Decoded:  a.completeStored,
			Validate: func(s *core.Service) field.ErrorList { return validation.ValidateServiceCreate(a.foresee(s)) },
			ValidateUpdate: func(s, old *core.Service) field.ErrorList {
				return validation.ValidateServiceUpdate(a.foresee(s), old)
			},
			ValidateStatus: validation.ValidateServiceStatusUpdate,
			Warn: func(_ context.Context, s, old *core.Service) []string {
				return service.GetWarningsForService(s, old)
			},
			Fields: []kind.Selectable[corev1.Service]{
				{Label: "spec.clusterIP", Value: func(s *corev1.Service) string { return s.Spec.ClusterIP }},
				{Label: "spec.type", Value: func(s *corev1.Service) string { return string(s.Spec.Type) }},
			},
			Subresources: []resource.Subresource{{Name: "proxy", Style: resource.StyleConnect, Verbs: proxyVerbs,
				Kind: corev1.SchemeGroupVersion.WithKind("ServiceProxyOptions"), Connect: connectServiceProxy, Absent: absentService,
				Options: func(path string, _ map[string][]string) (runtime.Object, error) {
					return &corev1.ServiceProxyOptions{Path: path}, nil
				}}},
			Finish: func(s *resource.Strategy) { s.Companions = a.companions },
		}),
		// Not served: upstream keeps its own two maps of ranges here.
		kind.Define(kind.Names{Kind: "RangeAllocation", Resource: "rangeallocations", Prefix: "ranges", Cluster: true,
			Versions: []string{}, Storage: "v1", Verbs: []string{}}, kind.Rule[corev1.RangeAllocation, core.RangeAllocation]{}),
	}
}

// foresee puts a port where validation demands one that is chosen only
// afterwards, in the transaction. s is validation's own copy.
func (a *allocator) foresee(s *core.Service) *core.Service {
	if service.NeedsHealthCheck(s) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = int32(a.ports.Base)
	}
	return s
}

// prepareService lets a client leave out what was allocated for it, and drop
// what another type does not have.
func prepareService(s, old *corev1.Service) {
	keepAllocated(s, old)
	syncClusterIPs(s, old)
	dropOfType(s, old)
}

func keepAllocated(s, old *corev1.Service) {
	if hasClusterIP(s) && hasClusterIP(old) {
		if s.Spec.ClusterIP == "" {
			s.Spec.ClusterIP = old.Spec.ClusterIP
		}
		if len(s.Spec.ClusterIPs) == 0 {
			s.Spec.ClusterIPs = slices.Clone(old.Spec.ClusterIPs)
		}
	}
	if allocatesNodePorts(s) && allocatesNodePorts(old) {
		keepNodePorts(s, old)
	}
	if needsHealthPort(s) && needsHealthPort(old) && s.Spec.HealthCheckNodePort == 0 {
		s.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// keepNodePorts gives ports without a node port the one that the port of the
// same name had, unless the client moved it to another port.
func keepNodePorts(s, old *corev1.Service) {
	byName := map[string]int32{}
	for _, p := range old.Spec.Ports {
		byName[p.Name] = p.NodePort
	}
	sent := nodePorts(s)
	for i := range s.Spec.Ports {
		p := &s.Spec.Ports[i]
		if had := byName[p.Name]; p.NodePort == 0 && !slices.Contains(sent, had) {
			p.NodePort = had
		}
	}
}

// syncClusterIPs makes the list follow the single address of a client that
// knows no lists.
func syncClusterIPs(s, old *corev1.Service) {
	ip, was := s.Spec.ClusterIP, old.Spec.ClusterIP
	if ip == was || !slices.Equal(s.Spec.ClusterIPs, old.Spec.ClusterIPs) {
		return
	}
	s.Spec.ClusterIPs = nil
	if ip != "" {
		s.Spec.ClusterIPs = []string{ip}
	}
}

// dropOfType clears fields that the old type had and the new one has not, if
// the client left them as they were.
func dropOfType(s, old *corev1.Service) {
	n, o := &s.Spec, &old.Spec
	if hasClusterIP(old) && !hasClusterIP(s) {
		if n.ClusterIP == o.ClusterIP && slices.Equal(n.ClusterIPs, o.ClusterIPs) {
			n.ClusterIP, n.ClusterIPs = "", nil
		}
		if slices.Equal(n.IPFamilies, o.IPFamilies) {
			n.IPFamilies = nil
		}
		if ptr.Equal(n.IPFamilyPolicy, o.IPFamilyPolicy) {
			n.IPFamilyPolicy = nil
		}
	}
	if hasNodePorts(old) && !hasNodePorts(s) && subset(nodePorts(s), nodePorts(old)) {
		for i := range n.Ports {
			n.Ports[i].NodePort = 0
		}
	}
	if needsHealthPort(old) && !needsHealthPort(s) && n.HealthCheckNodePort == o.HealthCheckNodePort {
		n.HealthCheckNodePort = 0
	}
	if n.Type != corev1.ServiceTypeLoadBalancer {
		if o.Type == corev1.ServiceTypeLoadBalancer {
			if ptr.Equal(n.AllocateLoadBalancerNodePorts, o.AllocateLoadBalancerNodePorts) {
				n.AllocateLoadBalancerNodePorts = nil
			}
			if ptr.Equal(n.LoadBalancerClass, o.LoadBalancerClass) {
				n.LoadBalancerClass = nil
			}
		}
		s.Status.LoadBalancer = corev1.LoadBalancerStatus{}
	}
	if externallyReachable(old) && !externallyReachable(s) && n.ExternalTrafficPolicy == o.ExternalTrafficPolicy {
		n.ExternalTrafficPolicy = ""
	}
}

func hasClusterIP(s *corev1.Service) bool { return s.Spec.Type != corev1.ServiceTypeExternalName }

func headless(s *corev1.Service) bool {
	return len(s.Spec.ClusterIPs) > 0 && s.Spec.ClusterIPs[0] == corev1.ClusterIPNone
}

func hasNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort || s.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// allocatesNodePorts: a load balancer may ask for none.
func allocatesNodePorts(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeNodePort ||
		s.Spec.Type == corev1.ServiceTypeLoadBalancer && ptr.Deref(s.Spec.AllocateLoadBalancerNodePorts, true)
}

func needsHealthPort(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func externallyReachable(s *corev1.Service) bool {
	return hasNodePorts(s) || s.Spec.Type == corev1.ServiceTypeClusterIP && len(s.Spec.ExternalIPs) > 0
}

// nodePorts are the node ports that are set.
func nodePorts(s *corev1.Service) []int32 {
	var out []int32
	for _, p := range s.Spec.Ports {
		if p.NodePort != 0 {
			out = append(out, p.NodePort)
		}
	}
	return out
}

func subset[T comparable](a, b []T) bool {
	return !slices.ContainsFunc(a, func(x T) bool { return !slices.Contains(b, x) })
}
