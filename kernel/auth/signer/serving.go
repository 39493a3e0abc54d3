package signer

import (
	"context"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/registry"
)

// approveServing approves a serving certificate for the node's own name and
// for addresses that it claims and that the server has seen it come from.
//
// What a node writes into its own status is not enough: it could name the
// API server's address there, or another node's. What this leaves open, such as
// a node behind address translation, a person may approve.
// RATIONALE.md: "Why do nodes' serving certificates have an authority of their
// own?"
func (s *Signer) approveServing(ctx context.Context, r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) (answer, error) {
	if err := nodeServing(r, csr); err != nil {
		return left("it would not be signed: %v", err), nil
	}
	name := strings.TrimPrefix(csr.Subject.CommonName, nodePrefix)
	for _, d := range csr.DNSNames {
		if d != name || servicesName(d) {
			return left("it asks for the name %q, and the node's is %q", d, name), nil
		}
	}
	claimed, err := s.claimed(ctx, name)
	if err != nil {
		return answer{}, err
	}
	for _, ip := range csr.IPAddresses {
		a, ok := netip.AddrFromSlice(ip)
		if !ok {
			return left("%v is no address", ip), nil
		}
		a = a.Unmap()
		switch taken, err := s.isService(ctx, a); {
		case err != nil:
			return answer{}, err
		case taken:
			return left("%s is the address of a Service", a), nil
		}
		// A claim may be written later; where it came from does not change.
		if !s.requestedFrom(r, a) {
			return left("the server has not seen the node at %s: the request came from %s", a, strings.Join(r.Spec.Extra[node.RemoteAddress], ", ")), nil
		}
		if !slices.Contains(claimed, a) {
			return left("the status of the node does not have the address %s", a), nil
		}
	}
	return answer{approve: true, text: "Auto approving serving certificate: the server has seen the node at every address."}, nil
}

// servicesName reports names that only Services have, and the API server's.
func servicesName(d string) bool {
	return d == "kubernetes" || d == "kubernetes.default" || strings.HasSuffix(d, ".svc") || strings.Contains(d, ".svc.")
}

// claimed are the addresses that a node says it has; none before it registers.
func (s *Signer) claimed(ctx context.Context, name string) ([]netip.Addr, error) {
	t := nodes
	t.Name = name
	o, err := s.cfg.Registry.Get(ctx, t, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n, ok := o.Obj.(*corev1.Node)
	if !ok {
		return nil, fmt.Errorf("node %s is a %T", name, o.Obj)
	}
	var out []netip.Addr
	for _, a := range n.Status.Addresses {
		if ip, err := netip.ParseAddr(a.Address); err == nil {
			out = append(out, ip.Unmap())
		}
	}
	return out, nil
}

// requestedFrom reports that the request came from an address. A node that comes over
// the loopback, or from an address of this machine's, runs on this machine: it has
// what this machine has. From elsewhere nobody completes a connection under such an
// address.
func (s *Signer) requestedFrom(r *certificatesv1.CertificateSigningRequest, a netip.Addr) bool {
	var local []netip.Addr
	for _, from := range r.Spec.Extra[node.RemoteAddress] {
		ip, err := netip.ParseAddr(from)
		if err != nil {
			continue
		}
		if ip = ip.Unmap(); ip == a {
			return true
		}
		if local == nil {
			local = s.cfg.Local()
		}
		if slices.Contains(local, a) && (ip.IsLoopback() || slices.Contains(local, ip)) {
			return true
		}
	}
	return false
}

var ipAddresses = registry.Target{Resource: networkingv1.SchemeGroupVersion.WithResource("ipaddresses")}

// isService reports that a Service has the address.
func (s *Signer) isService(ctx context.Context, a netip.Addr) (bool, error) {
	t := ipAddresses
	t.Name = a.String()
	_, err := s.cfg.Registry.Get(ctx, t, metav1.GetOptions{ResourceVersion: "0"})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// localAddresses are those of this machine's interfaces.
func localAddresses() []netip.Addr {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var out []netip.Addr
	for _, x := range list {
		if n, ok := x.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out
}
