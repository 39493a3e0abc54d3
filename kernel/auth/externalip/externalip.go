// Package externalip decides which addresses a Service may take for its own.
//
// Every node sends what is meant for a Service's external address to that
// Service, also what comes from pods. Who may make a Service could so take the
// traffic of a node, of the API server, or of somebody else's Service
// (CVE-2020-8554). Upstream lets everybody, or by DenyServiceExternalIPs nobody;
// here what belongs to the cluster cannot be taken by default.
//
// The package decides about single writes and keeps nothing. Start reading at
// [Rule.Validate].
package externalip

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Mode says which external addresses Services may have.
type Mode string

// The modes.
const (
	// Safe refuses what belongs to nodes, pods and Services. It is the default.
	Safe Mode = "safe"
	// Deny refuses all, as upstream's DenyServiceExternalIPs.
	Deny Mode = "deny"
	// Allow leaves it to policies.
	Allow Mode = "allow"
)

// Modes are all of them.
var Modes = []Mode{Safe, Deny, Allow}

// Config says what is the cluster's.
type Config struct {
	Mode Mode // "" is Safe
	// Services and Pods are the ranges of their addresses; Servers those at
	// which the API is reached.
	Services, Pods netip.Prefix
	Servers        []netip.Addr
}

// Rule is the admission rule for Services. It must fail closed.
type Rule struct {
	Config
	Reader resource.Reader
}

var (
	services = schema.GroupResource{Resource: "services"}
	nodes    = schema.GroupResource{Resource: "nodes"}
)

// Validate implements admission.Validator. As upstream's, it looks at addresses
// that are new: a Service that has one keeps it, for the ports that it has.
func (r *Rule) Validate(ctx context.Context, a *admission.Attributes) error {
	if r.Mode == Allow || a.Resource.GroupResource() != services || a.Subresource != "" {
		return nil
	}
	svc, ok := a.Object.(*corev1.Service)
	if !ok {
		return nil // a deletion
	}
	old, ok := a.Old.(*corev1.Service)
	if !ok {
		old = &corev1.Service{}
	}
	for i, text := range svc.Spec.ExternalIPs {
		check := r.taken
		if slices.Contains(old.Spec.ExternalIPs, text) {
			check = func(ctx context.Context, svc *corev1.Service, text string) (string, error) {
				return r.extended(ctx, svc, old, text)
			}
		}
		why, err := check(ctx, svc, text)
		if err != nil {
			return err
		}
		if why != "" {
			return apierrors.NewForbidden(services, svc.Name, fmt.Errorf("spec.externalIPs[%d]: %s %s (--service-external-ips=%s)", i, text, why, r.mode()))
		}
	}
	return nil
}

func (r *Rule) mode() Mode {
	if r.Mode == "" {
		return Safe
	}
	return r.Mode
}

// taken says why a Service may not have an address; "" if it may.
func (r *Rule) taken(ctx context.Context, svc *corev1.Service, text string) (string, error) {
	if r.mode() == Deny {
		return "is an external address, and this cluster allows none", nil
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return "", nil // the kind's validation says so
	}
	addr = addr.Unmap()
	switch {
	case r.Services.Contains(addr):
		return "is in the range of Services", nil
	case r.Pods.Contains(addr):
		return "is in the range of pods", nil
	case slices.Contains(r.Servers, addr):
		return "is the API server's", nil
	}
	if why, err := r.ofNode(ctx, addr); why != "" || err != nil {
		return why, err
	}
	return r.ofService(ctx, svc, addr)
}

// extended says why a Service may not have more ports at an address of its own:
// they may be another's.
func (r *Rule) extended(ctx context.Context, svc, old *corev1.Service, text string) (string, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || r.mode() == Deny {
		return "", nil // it was given by an administrator who allowed it
	}
	more := &corev1.Service{}
	more.Namespace = svc.Namespace
	for _, p := range svc.Spec.Ports {
		if !slices.ContainsFunc(old.Spec.Ports, func(q corev1.ServicePort) bool { return p.Port == q.Port && p.Protocol == q.Protocol }) {
			more.Spec.Ports = append(more.Spec.Ports, p)
		}
	}
	if len(more.Spec.Ports) == 0 {
		return "", nil
	}
	return r.ofService(ctx, more, addr.Unmap())
}

func (r *Rule) ofNode(ctx context.Context, addr netip.Addr) (string, error) {
	all, err := r.Reader.List(ctx, nodes, "")
	if err != nil {
		return "", fmt.Errorf("list nodes: %w", err)
	}
	for _, o := range all {
		n, ok := o.(*corev1.Node)
		if !ok {
			continue
		}
		for _, a := range n.Status.Addresses {
			if same(a.Address, addr) {
				return "belongs to a node", nil
			}
		}
		for _, p := range append(n.Spec.PodCIDRs, n.Spec.PodCIDR) {
			if p, err := netip.ParsePrefix(p); err == nil && p.Contains(addr) {
				return "is in a node's range of pods", nil
			}
		}
	}
	return "", nil
}

// ofService looks for another Service that has the address: from its load
// balancer, or as an external one of the same port in another namespace.
func (r *Rule) ofService(ctx context.Context, svc *corev1.Service, addr netip.Addr) (string, error) {
	all, err := r.Reader.List(ctx, services, "")
	if err != nil {
		return "", fmt.Errorf("list services: %w", err)
	}
	for _, o := range all {
		other, ok := o.(*corev1.Service)
		if !ok || other.Namespace == svc.Namespace {
			continue
		}
		for _, in := range other.Status.LoadBalancer.Ingress {
			if same(in.IP, addr) {
				return "is another Service's", nil
			}
		}
		if slices.ContainsFunc(other.Spec.ExternalIPs, func(ip string) bool { return same(ip, addr) }) && overlap(svc, other) {
			return "has this port in a Service of another namespace", nil
		}
	}
	return "", nil
}

func same(text string, addr netip.Addr) bool {
	a, err := netip.ParseAddr(text)
	return err == nil && a.Unmap() == addr
}

func overlap(a, b *corev1.Service) bool {
	return slices.ContainsFunc(a.Spec.Ports, func(p corev1.ServicePort) bool {
		return slices.ContainsFunc(b.Spec.Ports, func(q corev1.ServicePort) bool { return p.Port == q.Port && p.Protocol == q.Protocol })
	})
}

var _ admission.Validator = (*Rule)(nil)
