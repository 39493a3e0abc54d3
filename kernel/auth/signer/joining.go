package signer

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/registry"
)

// answer is what is said to a request without asking anybody. The zero value
// leaves it to people.
type answer struct {
	approve bool
	text    string
	// wait says, without a text, why it is left to people.
	wait string
}

// left is the answer that leaves a request to people.
func left(format string, args ...any) answer { return answer{wait: fmt.Sprintf(format, args...)} }

// approveClient approves a node's renewal and a node that joins, if the
// requester is allowed to have such requests approved.
//
// A new node gets a name that nobody has. A join token that is used up, or
// that asks for a name that is taken, is refused at once, so that whoever
// waits on the machine reads why.
func (s *Signer) approveClient(ctx context.Context, r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest) (answer, error) {
	if nodeClient(r, csr) != nil {
		return answer{}, nil
	}
	if csr.Subject.CommonName == r.Spec.Username && s.may(ctx, r, "selfnodeclient") {
		return answer{approve: true, text: "Auto approving self kubelet client certificate after SubjectAccessReview."}, nil
	}
	// A node must not obtain another node's identity.
	if slices.Contains(r.Spec.Groups, user.NodesGroup) || !s.may(ctx, r, "nodeclient") {
		return answer{}, nil
	}
	id, byToken := strings.CutPrefix(r.Spec.Username, jointoken.UserPrefix)
	name := strings.TrimPrefix(csr.Subject.CommonName, nodePrefix)
	refusal, err := s.taken(ctx, r, csr, name)
	if err == nil && refusal == "" && byToken {
		refusal, err = s.use(ctx, id, name, string(r.UID))
	}
	if err != nil {
		return answer{}, err
	}
	if refusal != "" {
		if !byToken {
			refusal = "" // a person asked, and a person may decide
		}
		return answer{text: refusal}, nil
	}
	return answer{approve: true, text: "Auto approving kubelet client certificate after SubjectAccessReview."}, nil
}

// justGiven is how long a name belongs to whom it was given to before the
// node has registered: as long as an agent waits for its certificate, and
// some more.
const justGiven = 10 * time.Minute

// taken says why a node's name is not to be had; "" when it is. That somebody has
// the same token does not make him the same machine: many may have it. He who has
// the same key is.
func (s *Signer) taken(ctx context.Context, r *certificatesv1.CertificateSigningRequest, csr *x509.CertificateRequest, name string) (string, error) {
	t := nodes
	t.Name = name
	switch _, err := s.cfg.Registry.Get(ctx, t, metav1.GetOptions{}); {
	case err == nil:
		return fmt.Sprintf("a node named %[1]q exists already: join under another name, or delete the node first (kubectl delete node %[1]s)", name), nil
	case !apierrors.IsNotFound(err):
		return "", err
	}
	l, err := s.cfg.Registry.List(ctx, requests, metav1.ListOptions{})
	if err != nil {
		return "", err
	}
	for _, o := range l.Items {
		other, ok := o.Obj.(*certificatesv1.CertificateSigningRequest)
		if !ok || other.UID == r.UID || other.Spec.SignerName != r.Spec.SignerName ||
			!has(other, certificatesv1.CertificateApproved) || s.cfg.Clock.Since(other.CreationTimestamp.Time) > justGiven {
			continue
		}
		given, err := parse(other.Spec.Request)
		if err == nil && given.Subject.CommonName == nodePrefix+name && !bytes.Equal(given.RawSubjectPublicKeyInfo, csr.RawSubjectPublicKeyInfo) {
			return fmt.Sprintf("the name %q has just been given to another machine that joins: join under another name", name), nil
		}
	}
	return "", nil
}

var secrets = registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("secrets"), Namespace: metav1.NamespaceSystem}

// afterUse is how long a token that is used up still authenticates: its node
// has yet to fetch the certificate.
const afterUse = 10 * time.Minute

// use writes a use into a token's ledger, and says why there is none left. It
// is written before the certificate is, so that of two requests one is
// refused, at whatever server they are looked at.
func (s *Signer) use(ctx context.Context, id, name, request string) (string, error) {
	t := secrets
	t.Name = jointoken.SecretPrefix + id
	for {
		o, err := s.cfg.Tokens.Get(ctx, t, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return "the join token has been deleted: make a new one (pintle token create)", nil
		}
		if err != nil {
			return "", err
		}
		secret, ok := o.Obj.(*corev1.Secret)
		if !ok {
			return "", fmt.Errorf("secret %s is a %T", t.Name, o.Obj)
		}
		l := jointoken.ReadLedger(secret.Annotations)
		switch {
		case l.Uses == 0 || l.Has(request):
			return "", nil
		case l.UsedUp():
			return fmt.Sprintf("the join token has been used, by node %s: make a new one (pintle token create)", strings.Join(l.Nodes(), ", ")), nil
		}
		secret = secret.DeepCopy()
		l.Joined = append(l.Joined, jointoken.Join{Node: name, Request: request})
		l.Write(secret.Annotations)
		if l.UsedUp() {
			s.end(secret)
		}
		_, err = s.cfg.Tokens.Update(ctx, t, secret, registry.WriteOptions{FieldManager: fieldManager})
		if apierrors.IsConflict(err) && ctx.Err() == nil {
			continue // somebody else used it, or deleted it
		}
		return "", err
	}
}

const expirationKey = "expiration"

// end lets a token run out.
// RATIONALE.md: "Why is a used join token not deleted at once?"
func (s *Signer) end(secret *corev1.Secret) {
	end := s.cfg.Clock.Now().Add(afterUse)
	if t, err := time.Parse(time.RFC3339, string(secret.Data[expirationKey])); err == nil && t.Before(end) {
		return
	}
	if secret.Data == nil {
		secret.Data = map[string][]byte{}
	}
	secret.Data[expirationKey] = []byte(end.UTC().Format(time.RFC3339))
}

// sweepTokens deletes join tokens that have run out, as upstream's token
// cleaner does.
func (s *Signer) sweepTokens(ctx context.Context) error {
	l, err := s.cfg.Tokens.List(ctx, secrets, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, o := range l.Items {
		secret, ok := o.Obj.(*corev1.Secret)
		if !ok || secret.Type != corev1.SecretTypeBootstrapToken || !s.ended(secret) {
			continue
		}
		t := secrets
		t.Name = secret.Name
		_, err := s.cfg.Tokens.Delete(ctx, t, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &secret.UID, ResourceVersion: &secret.ResourceVersion}})
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete join token %s: %w", secret.Name, err)
		}
	}
	return nil
}

func (s *Signer) ended(secret *corev1.Secret) bool {
	text := string(secret.Data[expirationKey])
	if text == "" {
		return false
	}
	end, err := time.Parse(time.RFC3339, text)
	return err != nil || !s.cfg.Clock.Now().Before(end) // a time that nobody can read is over, as upstream has it
}
