package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/resource"
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

// kind is one signer: what it takes, and who signs.
type kind struct {
	check rule
	sign  func(CA, pki.Leaf, crypto.PublicKey) (*x509.Certificate, error)
}

// signers are those that this package is.
var signers = map[string]kind{
	certificatesv1.KubeAPIServerClientSignerName:        {anyClient, CA.Sign},
	certificatesv1.KubeAPIServerClientKubeletSignerName: {nodeClient, CA.Sign},
	certificatesv1.KubeletServingSignerName:             {nodeServing, CA.SignNodeServing},
	certificatesv1beta1.LegacyUnknownSignerName:         {anything, CA.Sign},
}

// anything: of this signer whoever approves checks all, as upstream has it.
func anything(*certificatesv1.CertificateSigningRequest, *x509.CertificateRequest) error { return nil }

// anyClient is what people approve by hand.
func anyClient(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if slices.Contains(csr.Subject.Organization, user.SystemPrivilegedGroup) {
		return fmt.Errorf("use of %s signer with %s group is not allowed", r.Spec.SignerName, user.SystemPrivilegedGroup)
	}
	for _, u := range r.Spec.Usages {
		if u != certificatesv1.UsageClientAuth && u != certificatesv1.UsageDigitalSignature && u != certificatesv1.UsageKeyEncipherment {
			return fmt.Errorf("invalid usage for client certificate: %s", u)
		}
	}
	if !slices.Contains(r.Spec.Usages, certificatesv1.UsageClientAuth) {
		return fmt.Errorf("missing required usage for client certificate: %s", certificatesv1.UsageClientAuth)
	}
	return nil
}

func nodeClient(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if err := nodeSubject(csr); err != nil {
		return err
	}
	switch {
	case len(csr.DNSNames) > 0:
		return errors.New("DNS subjectAltNames are not allowed")
	case len(csr.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(csr.IPAddresses) > 0:
		return errors.New("IP subjectAltNames are not allowed")
	case len(csr.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	}
	return onlyFor(certificatesv1.UsageClientAuth, r.Spec.Usages)
}

func nodeServing(r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) error {
	if err := nodeSubject(csr); err != nil {
		return err
	}
	switch {
	case csr.Subject.CommonName != r.Spec.Username || !slices.Contains(r.Spec.Groups, user.NodesGroup):
		return errors.New("only a node may ask for its serving certificate")
	case len(csr.DNSNames)+len(csr.IPAddresses) == 0:
		return errors.New("DNS or IP subjectAltName is required")
	case len(csr.EmailAddresses) > 0:
		return errors.New("Email subjectAltNames are not allowed")
	case len(csr.URIs) > 0:
		return errors.New("URI subjectAltNames are not allowed")
	}
	return onlyFor(certificatesv1.UsageServerAuth, r.Spec.Usages)
}

const nodePrefix = "system:node:"

func nodeSubject(csr *x509.CertificateRequest) error {
	if !slices.Equal(csr.Subject.Organization, []string{user.NodesGroup}) {
		return fmt.Errorf("subject organization is not %s", user.NodesGroup)
	}
	if name, ok := strings.CutPrefix(csr.Subject.CommonName, nodePrefix); !ok || name == "" {
		return fmt.Errorf("subject common name does not begin with %s", nodePrefix)
	}
	return nil
}

// approve answers a request of a node. Other requests wait for somebody.
func (s *Signer) approve(ctx context.Context, r *certificatesv1.CertificateSigningRequest) error {
	csr, err := parse(r.Spec.Request)
	if err != nil {
		return nil // whoever approves it will see it fail
	}
	var a answer
	switch r.Spec.SignerName {
	case certificatesv1.KubeAPIServerClientKubeletSignerName:
		a, err = s.approveClient(ctx, r, csr)
	case certificatesv1.KubeletServingSignerName:
		a, err = s.approveServing(ctx, r, csr)
	}
	if err != nil {
		return err
	}
	if a.text == "" {
		s.tell(ctx, r, a.wait)
		return nil
	}
	now := resource.Timestamp(s.cfg.Clock.Now())
	c := certificatesv1.CertificateSigningRequestCondition{
		Type: certificatesv1.CertificateApproved, Status: corev1.ConditionTrue, Reason: "AutoApproved",
		Message: a.text, LastUpdateTime: now, LastTransitionTime: now,
	}
	if !a.approve {
		c.Type, c.Reason = certificatesv1.CertificateDenied, "AutoDenied"
	}
	next := r.DeepCopy()
	next.Status.Conditions = append(next.Status.Conditions, c)
	s.cfg.Log.Info("answering certificate signing request", "name", r.Name, "signer", r.Spec.SignerName, "user", r.Spec.Username, "answer", c.Type, "message", a.text)
	return s.update(ctx, next, "approval")
}

func (s *Signer) may(ctx context.Context, r *certificatesv1.CertificateSigningRequest, sub string) bool {
	u := &user.DefaultInfo{Name: r.Spec.Username, UID: r.Spec.UID, Groups: r.Spec.Groups}
	d, _, err := s.cfg.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
		User: u, Verb: "create", APIGroup: certificatesv1.GroupName, APIVersion: "v1",
		Resource: "certificatesigningrequests", Subresource: sub, ResourceRequest: true,
	})
	return err == nil && d == authorizer.DecisionAllow
}
