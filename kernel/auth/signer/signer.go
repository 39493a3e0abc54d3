// Package signer answers CertificateSigningRequests. It approves what node
// agents ask for themselves (a client certificate when they join or renew, a
// serving certificate for their own addresses), keeps the ledger of the tokens
// by which they join, and signs what is approved, by
// whomever, for Kubernetes' own signers. It works through the registry
// only, so that any number of servers may run it.
//
// https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
package signer

import (
	"context"
	"crypto"
	"crypto/x509"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// CA signs certificates: of clients, and by another authority, which only the
// API server trusts, those with which node agents serve. *pki.PKI is one.
type CA interface {
	Sign(l pki.Leaf, pub crypto.PublicKey) (*x509.Certificate, error)
	SignNodeServing(l pki.Leaf, pub crypto.PublicKey) (*x509.Certificate, error)
}

// Config is what a Signer is made of.
type Config struct {
	Registry registry.Registry // the certificate controller's
	Tokens   registry.Registry // the token cleaner's: join tokens are read and kept by it
	CA       CA
	// Authorizer answers whether a requester may have node client
	// certificates approved without asking anybody.
	Authorizer authorizer.UnconditionalAuthorizer
	// MaxLifetime of what is signed; 0 means one year.
	MaxLifetime time.Duration
	// Local are this machine's own addresses; nil asks its interfaces.
	Local     func() []netip.Addr
	Clock     clock.WithTicker  // nil is the real clock
	Informers *informer.Metrics // nil: what is followed is not counted
	Log       *slog.Logger      // nil discards
}

// Implements are the resources that a Signer acts on; see kernel/implementers.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{requests.Resource.GroupResource()}
}

// Signer approves and signs.
type Signer struct {
	cfg  Config
	told map[types.UID]bool // which requests wait for people; of Run's goroutine
}

// New makes a Signer.
func New(c Config) *Signer {
	if c.MaxLifetime == 0 {
		c.MaxLifetime = pki.LeafLifetime
	}
	if c.Local == nil {
		c.Local = localAddresses
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Signer{cfg: c, told: map[types.UID]bool{}}
}

var (
	requests = registry.Target{Resource: certificatesv1.SchemeGroupVersion.WithResource("certificatesigningrequests")}
	nodes    = registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("nodes")}
)

// resync is how often requests that had to wait (for their node's addresses)
// are looked at again, and old ones removed.
const resync = 10 * time.Second

// Run follows requests until ctx ends.
func (s *Signer) Run(ctx context.Context) error {
	updates := make(informer.Updates)
	i := informer.New(informer.Config{Name: "signer", Registry: s.cfg.Registry, Target: requests, Handler: updates,
		Clock: s.cfg.Clock, Metrics: s.cfg.Informers, Log: s.cfg.Log})
	var following sync.WaitGroup
	following.Go(func() { i.Run(ctx) })
	defer following.Wait()
	t := s.cfg.Clock.NewTicker(resync)
	defer t.Stop()
	sweeps := backoff.New(resync, resync)
	for {
		select {
		case <-ctx.Done():
			return nil
		case u := <-updates:
			s.deliver(ctx, u)
		case <-t.C():
			switch err := s.sweep(ctx); {
			case err == nil:
				sweeps.Succeeded(s.cfg.Log)
			case ctx.Err() == nil:
				_ = sweeps.Failed(s.cfg.Log, "signing requests are not looked at again", err) // the next tick tries
			}
		}
	}
}

// deliver does the next thing for what an informer tells of.
func (s *Signer) deliver(ctx context.Context, u informer.Update) {
	for _, o := range u.Objects {
		s.sync(ctx, o)
	}
	for _, e := range u.Events {
		if e.Type != watch.Deleted {
			s.sync(ctx, e.Object)
		}
	}
}

func (s *Signer) sync(ctx context.Context, o *watch.Object) {
	if r, ok := o.Obj.(*certificatesv1.CertificateSigningRequest); ok && r.DeletionTimestamp == nil {
		s.handle(ctx, r)
	}
}

// sweep looks at every request again and deletes those that are done.
func (s *Signer) sweep(ctx context.Context) error {
	l, err := s.cfg.Registry.List(ctx, requests, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		return err
	}
	for _, o := range l.Items {
		r, ok := o.Obj.(*certificatesv1.CertificateSigningRequest)
		if !ok {
			continue
		}
		if old(r, s.cfg.Clock.Now()) {
			t := requests
			t.Name = r.Name
			if _, err := s.cfg.Registry.Delete(ctx, t, metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(r.UID))}); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
				s.cfg.Log.Warn("delete old signing request", "name", r.Name, "error", err)
			}
			continue
		}
		s.handle(ctx, r)
	}
	return s.sweepTokens(ctx)
}

// handle does the next thing for a request. It is called again for what it
// writes, so one step at a time is enough.
func (s *Signer) handle(ctx context.Context, r *certificatesv1.CertificateSigningRequest) {
	var err error
	switch {
	case len(r.Status.Certificate) > 0 || has(r, certificatesv1.CertificateDenied) || has(r, certificatesv1.CertificateFailed):
		return
	case has(r, certificatesv1.CertificateApproved):
		err = s.sign(ctx, r)
	default:
		err = s.approve(ctx, r)
	}
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
		s.cfg.Log.Warn("certificate signing request", "name", r.Name, "signer", r.Spec.SignerName, "error", err)
	}
}

func has(r *certificatesv1.CertificateSigningRequest, t certificatesv1.RequestConditionType) bool {
	for _, c := range r.Status.Conditions {
		if c.Type == t {
			return true
		}
	}
	return false
}

const fieldManager = "pintle-signer"

func (s *Signer) update(ctx context.Context, r *certificatesv1.CertificateSigningRequest, sub string) error {
	t := requests
	t.Name, t.Subresource = r.Name, sub
	_, err := s.cfg.Registry.Update(ctx, t, r, registry.WriteOptions{FieldManager: fieldManager})
	return err
}

// sign issues the certificate of an approved request. A request that the
// signer does not take is marked as failed; signers that are not this CA's are
// left to others.
func (s *Signer) sign(ctx context.Context, r *certificatesv1.CertificateSigningRequest) error {
	by, ours := signers[r.Spec.SignerName]
	if !ours {
		return nil
	}
	next := r.DeepCopy()
	csr, err := parse(r.Spec.Request)
	if err == nil {
		err = by.check(r, csr)
	}
	var uses pki.Usages
	if err == nil {
		uses, err = usagesOf(r.Spec.Usages)
	}
	if err != nil {
		now := resource.Timestamp(s.cfg.Clock.Now())
		next.Status.Conditions = append(next.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: "SignerValidationFailure",
			Message: err.Error(), LastUpdateTime: now, LastTransitionTime: now,
		})
		return s.update(ctx, next, "status")
	}
	cert, err := by.sign(s.cfg.CA, pki.Leaf{Request: csr, Usages: uses, Lifetime: lifetime(r, s.cfg.MaxLifetime)}, csr.PublicKey)
	if err != nil {
		return err
	}
	next.Status.Certificate = pki.PEM(cert)
	return s.update(ctx, next, "status")
}

// Times of upstream's signers: nobody gets a certificate for less than minLifetime, and
// of one that lasts long, the time by which it begins before it is issued is taken off.
const (
	minLifetime = 10 * time.Minute
	short       = 8 * time.Hour
	backdate    = 5 * time.Minute // pki's
)

// lifetime is how long the certificate of a request lasts.
func lifetime(r *certificatesv1.CertificateSigningRequest, most time.Duration) time.Duration {
	d := most
	if r.Spec.ExpirationSeconds != nil {
		d = min(max(time.Duration(*r.Spec.ExpirationSeconds)*time.Second, minLifetime), most)
	}
	if d >= short {
		d -= backdate
	}
	return d
}
