package signer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	certificatesv1 "k8s.io/api/certificates/v1"
	certificatesv1beta1 "k8s.io/api/certificates/v1beta1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Permissions is the admission rule that keeps a signer's name to those who
// may speak for it. Access to certificatesigningrequests/approval or /status
// is not enough: it takes the verb "approve", "sign" or "attest" on the signer
// itself. It is upstream's CertificateApproval, CertificateSigning,
// CertificateSubjectRestriction and ClusterTrustBundleAttest, and what upstream
// checks of PodCertificateRequests. It must fail closed.
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
type Permissions struct {
	Authorizer authorizer.UnconditionalAuthorizer
	// Reader counts a user's requests; nil sets no bound.
	Reader resource.Reader
}

// MaxRequests is how many CertificateSigningRequests of one user are kept at a
// time. They stay for an hour when they are answered and for a day when they
// are not, so that a node or the holder of a join token could fill the
// database with them. It is above what the largest join token needs.
const MaxRequests = 200

// Validate implements admission.Validator.
func (p *Permissions) Validate(ctx context.Context, a *admission.Attributes) error {
	if a.Resource.Group != certificatesv1.GroupName || (a.Operation != admission.Create && a.Operation != admission.Update) {
		return nil
	}
	var err error
	switch a.Resource.Resource {
	case "certificatesigningrequests":
		err = p.request(ctx, a)
	case "clustertrustbundles":
		err = p.bundle(ctx, a)
	case "podcertificaterequests":
		err = p.podRequest(ctx, a)
	}
	if err == nil || apierrors.ReasonForError(err) != metav1.StatusReasonUnknown {
		return err
	}
	return apierrors.NewForbidden(a.Resource.GroupResource(), a.Name, err)
}

func (p *Permissions) request(ctx context.Context, a *admission.Attributes) error {
	r, ok := a.Object.(*certificatesv1.CertificateSigningRequest)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if a.Subresource == "" {
		if a.Operation != admission.Create {
			return nil
		}
		if err := subject(r); err != nil {
			return err
		}
		return p.room(ctx, a.User)
	}
	// The stored signer counts: the written object could name another.
	old, ok := a.Old.(*certificatesv1.CertificateSigningRequest)
	switch {
	case !ok:
		return fmt.Errorf("unexpected type %T", a.Old)
	case a.Subresource == "approval":
		if !p.may(ctx, a.User, "approve", old.Spec.SignerName) {
			return fmt.Errorf("user not permitted to approve requests with signerName %q", old.Spec.SignerName)
		}
	case a.Subresource == "status":
		unchanged := equality.Semantic.DeepEqual(old.Status.Certificate, r.Status.Certificate) && equality.Semantic.DeepEqual(old.Status.Conditions, r.Status.Conditions)
		if !unchanged && !p.may(ctx, a.User, "sign", old.Spec.SignerName) {
			return fmt.Errorf("user not permitted to sign requests with signerName %q", old.Spec.SignerName)
		}
	}
	return nil
}

var csrResource = schema.GroupResource{Group: certificatesv1.GroupName, Resource: "certificatesigningrequests"}

var errNobody = errors.New("no user on the request")

// room refuses what is more than one user's share.
func (p *Permissions) room(ctx context.Context, u user.Info) error {
	if u == nil {
		return errNobody
	}
	if p.Reader == nil || slices.Contains(u.GetGroups(), user.SystemPrivilegedGroup) {
		return nil
	}
	list, err := p.Reader.List(ctx, csrResource, "")
	if err != nil {
		return err
	}
	n := 0
	for _, o := range list {
		if r, ok := o.(*certificatesv1.CertificateSigningRequest); ok && r.Spec.Username == u.GetName() {
			n++
		}
	}
	if n >= MaxRequests {
		// No 429: clients would wait and ask again, and nothing changes so soon.
		return fmt.Errorf("user %q has %d certificate signing requests, as many as are kept of one user: delete some, or wait until they are an hour (answered) or a day old", u.GetName(), n)
	}
	return nil
}

// subject refuses a client certificate of the group that may do everything,
// before anybody could approve it.
func subject(r *certificatesv1.CertificateSigningRequest) error {
	if r.Spec.SignerName != certificatesv1.KubeAPIServerClientSignerName {
		return nil
	}
	csr, err := parse(r.Spec.Request)
	if err != nil {
		return fmt.Errorf("failed to parse CSR: %w", err)
	}
	if slices.Contains(csr.Subject.Organization, user.SystemPrivilegedGroup) {
		return fmt.Errorf("use of %s signer with %s group is not allowed", r.Spec.SignerName, user.SystemPrivilegedGroup)
	}
	return nil
}

func (p *Permissions) bundle(ctx context.Context, a *admission.Attributes) error {
	b, ok := a.Object.(*certificatesv1beta1.ClusterTrustBundle)
	if !ok {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if b.Spec.SignerName == "" {
		return nil
	}
	// What the garbage collector changes is not the signer's affair.
	if old, ok := a.Old.(*certificatesv1beta1.ClusterTrustBundle); ok && equality.Semantic.DeepEqual(old.Spec, b.Spec) &&
		equality.Semantic.DeepEqual(old.Labels, b.Labels) && equality.Semantic.DeepEqual(old.Annotations, b.Annotations) {
		return nil
	}
	if !p.may(ctx, a.User, "attest", b.Spec.SignerName) {
		return fmt.Errorf("user not permitted to attest for signerName %q", b.Spec.SignerName)
	}
	return nil
}

func (p *Permissions) podRequest(ctx context.Context, a *admission.Attributes) error {
	if a.Subresource != "status" {
		return nil
	}
	r, ok := a.Object.(*certificatesv1beta1.PodCertificateRequest)
	old, ok2 := a.Old.(*certificatesv1beta1.PodCertificateRequest)
	if !ok || !ok2 {
		return fmt.Errorf("unexpected type %T", a.Object)
	}
	if !equality.Semantic.DeepEqual(old.Status, r.Status) && !p.may(ctx, a.User, "sign", old.Spec.SignerName) {
		name := ""
		if a.User != nil {
			name = a.User.GetName()
		}
		// As upstream's validation says it.
		return apierrors.NewInvalid(certificatesv1beta1.SchemeGroupVersion.WithKind("PodCertificateRequest").GroupKind(), a.Name, field.ErrorList{
			field.Forbidden(field.NewPath("spec", "signerName"), fmt.Sprintf("User %q is not permitted to \"sign\" for signer %q", name, old.Spec.SignerName))})
	}
	return nil
}

// may asks for a signer's name, then for all signers of its domain.
func (p *Permissions) may(ctx context.Context, u user.Info, verb, signer string) bool {
	if u == nil {
		return false
	}
	domain, _, _ := strings.Cut(signer, "/")
	for _, name := range []string{signer, domain + "/*"} {
		d, _, err := p.Authorizer.Authorize(ctx, authorizer.AttributesRecord{
			User: u, Verb: verb, Name: name, APIGroup: certificatesv1.GroupName, APIVersion: "*", Resource: "signers", ResourceRequest: true,
		})
		if err == nil && d == authorizer.DecisionAllow {
			return true
		}
	}
	return false
}

var _ admission.Validator = (*Permissions)(nil)
