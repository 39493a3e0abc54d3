package signer

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// maxRequest bounds the PEM that is parsed.
const maxRequest = 64 << 10

func parse(data []byte) (*x509.CertificateRequest, error) {
	if len(data) > maxRequest {
		return nil, errors.New("request is too large")
	}
	b, _ := pem.Decode(data)
	if b == nil || b.Type != "CERTIFICATE REQUEST" {
		return nil, errors.New("PEM block type must be CERTIFICATE REQUEST")
	}
	csr, err := x509.ParseCertificateRequest(b.Bytes)
	if err != nil {
		return nil, err
	}
	return csr, csr.CheckSignature()
}

type rule func(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error

// signers are those whose certificates this CA issues, and what each takes.
var signers = map[string]rule{
	certificatesv1.KubeAPIServerClientSignerName:        anyClient,
	certificatesv1.KubeAPIServerClientKubeletSignerName: nodeClient,
	certificatesv1.KubeletServingSignerName:             nodeServing,
}

// usages checks that wanted is asked for and nothing beyond what goes with it.
func usages(r *certificatesv1.CertificateSigningRequest, wanted certificatesv1.KeyUsage) error {
	if !slices.Contains(r.Spec.Usages, wanted) {
		return fmt.Errorf("usages did not include %q", wanted)
	}
	for _, u := range r.Spec.Usages {
		if u != wanted && u != certificatesv1.UsageDigitalSignature && u != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("usage %q is not allowed", u)
		}
	}
	return nil
}

// anyClient is what people approve by hand.
func anyClient(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if slices.Contains(csr.Subject.Organization, user.SystemPrivilegedGroup) {
		return fmt.Errorf("use of %s signer with %s group is not allowed", r.Spec.SignerName, user.SystemPrivilegedGroup)
	}
	return usages(r, certificatesv1.UsageClientAuth)
}

func nodeClient(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if err := nodeSubject(csr); err != nil {
		return err
	}
	if len(csr.DNSNames)+len(csr.IPAddresses)+len(csr.EmailAddresses)+len(csr.URIs) > 0 {
		return errors.New("subject alternative names are not allowed")
	}
	return usages(r, certificatesv1.UsageClientAuth)
}

func nodeServing(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if err := nodeSubject(csr); err != nil {
		return err
	}
	switch {
	case csr.Subject.CommonName != r.Spec.Username || !slices.Contains(r.Spec.Groups, user.NodesGroup):
		return errors.New("only a node may ask for its serving certificate")
	case len(csr.EmailAddresses)+len(csr.URIs) > 0:
		return errors.New("email and URI subject alternative names are not allowed")
	case len(csr.DNSNames)+len(csr.IPAddresses) == 0:
		return errors.New("DNS or IP subject alternative name is required")
	}
	return usages(r, certificatesv1.UsageServerAuth)
}

const nodePrefix = "system:node:"

func nodeSubject(csr *x509.CertificateRequest) error {
	if !slices.Equal(csr.Subject.Organization, []string{user.NodesGroup}) {
		return fmt.Errorf("organization must be exactly %q", user.NodesGroup)
	}
	if name, ok := strings.CutPrefix(csr.Subject.CommonName, nodePrefix); !ok || name == "" {
		return fmt.Errorf("common name must begin with %q", nodePrefix)
	}
	return nil
}

// approve approves a request of a node. Other requests wait for somebody.
func (s *Signer) approve(ctx context.Context, r *certificatesv1.CertificateSigningRequest) error {
	csr, err := parse(r.Spec.Request)
	if err != nil {
		return nil // whoever approves it will see it fail
	}
	var reason string
	switch r.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		reason = s.approveClient(ctx, r, csr)
	case certificatesv1.KubeletServingSignerName:
		reason, err = s.approveServing(ctx, r, csr)
	}
	if reason == "" || err != nil {
		return err
	}
	now := metav1.NewTime(s.cfg.Clock.Now())
	next := r.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
		Message: reason, LastUpdateTime: now, LastTransitionTime: now,
	})
	s.cfg.Log.Info("approving certificate signing request", "name", r.Name, "signer", r.Spec.SignerName, "user", r.Spec.Username)
	return s.update(ctx, next, "approval")
}

// approveClient approves a node's renewal and a node that joins, if the
// requester is allowed to have such requests approved.
func (s *Signer) approveClient(ctx context.Context, r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) string {
	if nodeClient(r, csr) != nil {
		return ""
	}
	if csr.Subject.CommonName == r.Spec.Username && s.may(ctx, r, "selfnodeclient") {
		return "Auto approving self kubelet client certificate after SubjectAccessReview."
	}
	// A node must not obtain another node's identity.
	if !slices.Contains(r.Spec.Groups, user.NodesGroup) && s.may(ctx, r, "nodeclient") {
		return "Auto approving kubelet client certificate after SubjectAccessReview."
	}
	return ""
}

func (s *Signer) may(ctx context.Context, r *certificatesv1.CertificateSigningRequest, sub string) bool {
	u := &user.DefaultInfo{Name: r.Spec.Username, UID: r.Spec.UID, Groups: r.Spec.Groups}
	d, _, err := s.cfg.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "create", APIGroup: certificatesv1.GroupName, APIVersion: "v1",
		Resource: "certificatesigningrequests", Subresource: sub, ResourceRequest: true,
	})
	return err == nil && d == authorizer.DecisionAllow
}

// approveServing approves a serving certificate whose every address is one
// that the node has.
func (s *Signer) approveServing(ctx context.Context, r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) (string, error) {
	if nodeServing(r, csr) != nil {
		return "", nil
	}
	name := strings.TrimPrefix(csr.Subject.CommonName, nodePrefix)
	t := nodes
	t.Name = name
	o, err := s.cfg.Registry.Get(ctx, t, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return "", nil // it may register yet
	}
	if err != nil {
		return "", err
	}
	n, ok := o.Obj.(*corev1.Node)
	if !ok {
		return "", fmt.Errorf("node %s is a %T", name, o.Obj)
	}
	names := []string{name}
	for _, a := range n.Status.Addresses {
		names = append(names, a.Address)
	}
	for _, d := range csr.DNSNames {
		if !slices.Contains(names, d) {
			return "", nil // an address may be reported later
		}
	}
	for _, ip := range csr.IPAddresses {
		if !slices.Contains(names, ip.String()) {
			return "", nil
		}
	}
	return "Auto approving serving certificate: every address is the node's.", nil
}
