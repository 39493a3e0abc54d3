// Package services finds who answers for a Service: its ready endpoints, as upstream
// with aggregator routing, so that it works where the server's machine has no
// balancer. Whoever answers there has to prove by his certificate that he is the
// Service. Errors are upstream's.
package services

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// The resources that are read.
var (
	Services = corev1.SchemeGroupVersion.WithResource("services")
	Slices   = discoveryv1.SchemeGroupVersion.WithResource("endpointslices")
)

// Resolver finds endpoints. It is safe for concurrent use.
type Resolver struct {
	// Get reads a Service.
	Get func(ctx context.Context, namespace, name string) (runtime.Object, error)
	// Reader has the EndpointSlices.
	Reader resource.Reader
}

// Resolve returns one of the addresses of a Service's port, as any of them.
//
// # Errors
//   - NotFound: there is no such Service
//   - ServiceUnavailable: it has no such port, or nobody is behind it
func (s Resolver) Resolve(ctx context.Context, namespace, name string, port int32) (*url.URL, error) {
	all, err := s.All(ctx, namespace, name, port)
	if err != nil {
		return nil, err
	}
	return all[rand.IntN(len(all))], nil
}

// All returns the addresses of a Service's port, at least one.
//
// # Errors
//   - as Resolve
func (s Resolver) All(ctx context.Context, namespace, name string, port int32) ([]*url.URL, error) {
	obj, err := s.Get(ctx, namespace, name)
	if apierrors.IsNotFound(err) {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: "service"}, name)
	}
	if err != nil {
		return nil, err
	}
	service, ok := obj.(*corev1.Service)
	if !ok {
		return nil, fmt.Errorf("service %s is a %T", name, obj)
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		return []*url.URL{at(service.Spec.ExternalName, port)}, nil
	}
	for i := range service.Spec.Ports {
		if p := &service.Spec.Ports[i]; p.Port == port {
			return s.endpoints(ctx, service, p.Name)
		}
	}
	return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no service port %d found for service %q", port, name))
}

func (s Resolver) endpoints(ctx context.Context, service *corev1.Service, port string) ([]*url.URL, error) {
	slices, err := s.Slices(ctx, service.Namespace, service.Name)
	if err != nil {
		return nil, err
	}
	var found []*url.URL
	for _, e := range slices {
		found = append(found, ready(e, port)...)
	}
	if len(found) == 0 {
		return nil, apierrors.NewServiceUnavailable(fmt.Sprintf("no endpoints available for service %q", service.Name))
	}
	return found, nil
}

// Slices are the EndpointSlices of a Service. The caller must not change them.
func (s Resolver) Slices(ctx context.Context, namespace, name string) ([]*discoveryv1.EndpointSlice, error) {
	list, err := s.Reader.List(ctx, Slices.GroupResource(), namespace)
	if err != nil {
		return nil, err
	}
	var out []*discoveryv1.EndpointSlice
	for _, obj := range list {
		if e, ok := obj.(*discoveryv1.EndpointSlice); ok && e.Labels[discoveryv1.LabelServiceName] == name {
			out = append(out, e)
		}
	}
	return out, nil
}

// ready are the endpoints of a slice that take requests at a port.
func ready(e *discoveryv1.EndpointSlice, port string) (out []*url.URL) {
	for _, p := range e.Ports {
		if p.Port == nil || (p.Name != nil && *p.Name != port) || (p.Name == nil && port != "") {
			continue
		}
		for _, ep := range e.Endpoints {
			if (ep.Conditions.Ready == nil || *ep.Conditions.Ready) && len(ep.Addresses) > 0 {
				out = append(out, at(ep.Addresses[0], *p.Port))
			}
		}
	}
	return out
}

func at(host string, port int32) *url.URL {
	return &url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(int(port)))}
}

// Ready tells that somebody of a slice takes requests at a port.
func Ready(e *discoveryv1.EndpointSlice, port string) bool { return len(ready(e, port)) > 0 }
