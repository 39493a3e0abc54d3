package core

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

var (
	endpointSlicesResource = schema.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}
	podsResource           = schema.GroupResource{Resource: "pods"}
)

// connectServiceProxy leads to one of a service's ready pods.
func connectServiceProxy(ctx context.Context, r resource.Reader, obj runtime.Object, path string, query map[string][]string) (*resource.Target, error) {
	s := kind.Hub[corev1.Service](obj)
	scheme, port := resource.ProxyPort(ctx)
	if n, err := strconv.Atoi(port); err == nil {
		found := false
		for _, p := range s.Spec.Ports {
			if int(p.Port) == n {
				port, found = p.Name, true
				break
			}
		}
		if !found {
			return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", n, s.Name))
		}
	}
	slices, err := r.List(ctx, endpointSlicesResource, s.Namespace)
	if err != nil {
		return nil, err
	}
	var hosts []netip.AddrPort
	for _, obj := range slices {
		e := kind.Hub[discoveryv1.EndpointSlice](obj)
		if e.Labels[discoveryv1.LabelServiceName] == s.Name {
			hosts = append(hosts, readyHosts(ctx, r, e, port)...)
		}
	}
	if len(hosts) == 0 {
		return nil, noEndpoints(s.Name)
	}
	h := hosts[rand.IntN(len(hosts))]
	return proxyTarget(scheme, h.Addr().String(), strconv.Itoa(int(h.Port())), path, query), nil
}

func noEndpoints(service string) error {
	return apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", service))
}

// absentService is the answer about a Service that is not there. Upstream looks one up
// for the name of its port alone, and else for endpoints.
func absentService(ctx context.Context, name string) error {
	if _, port := resource.ProxyPort(ctx); port != "" {
		if _, err := strconv.Atoi(port); err == nil {
			return apierrors.NewNotFound(servicesResource, name)
		}
	}
	return noEndpoints(name)
}

// readyHosts are the addresses of a slice that are ready and belong to pods:
// nothing else may be reached through the API server.
func readyHosts(ctx context.Context, r resource.Reader, e *discoveryv1.EndpointSlice, port string) []netip.AddrPort {
	var number int32
	for _, p := range e.Ports {
		if ptr.Deref(p.Name, "") == port && p.Port != nil {
			number = *p.Port
		}
	}
	if number < 1 || number > 65535 {
		return nil
	}
	var out []netip.AddrPort
	for _, ep := range e.Endpoints {
		if !ptr.Deref(ep.Conditions.Ready, true) || len(ep.Addresses) == 0 || ep.TargetRef == nil || ep.TargetRef.Namespace != e.Namespace {
			continue
		}
		addr, err := netip.ParseAddr(ep.Addresses[0])
		if err != nil || !podHasAddress(ctx, r, e.Namespace, ep.TargetRef.Name, addr) {
			continue
		}
		out = append(out, netip.AddrPortFrom(addr, uint16(number)))
	}
	return out
}

func podHasAddress(ctx context.Context, r resource.Reader, namespace, name string, addr netip.Addr) bool {
	obj, err := r.Get(ctx, podsResource, namespace, name)
	if err != nil {
		return false
	}
	for _, ip := range kind.Hub[corev1.Pod](obj).Status.PodIPs {
		if a, err := netip.ParseAddr(ip.IP); err == nil && a == addr {
			return true
		}
	}
	return false
}
