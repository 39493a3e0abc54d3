package signer

import (
	"context"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

const (
	// tellAfter is how old a request is before it is said that it waits for people:
	// what a node claims may come after it.
	tellAfter = 30 * time.Second
	// maxTold bounds what is remembered of what was said.
	maxTold = 1000
)

var events = registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("events"), Namespace: metav1.NamespaceDefault}

// tell says once, in the log and in an event of the request, why it waits for
// people: until they decide, the node's logs cannot be read and nothing be executed
// there. The request itself stays as it is; "" is nothing to say.
func (s *Signer) tell(ctx context.Context, r *certificatesv1.CertificateSigningRequest, why string) {
	if why == "" || s.told[r.UID] || s.cfg.Clock.Since(r.CreationTimestamp.Time) < tellAfter {
		return
	}
	message := fmt.Sprintf("not approved by itself: %s. If this is right, `pintle kubectl certificate approve %s`", why, r.Name)
	now := resource.Timestamp(s.cfg.Clock.Now())
	e := &corev1.Event{
		// The name is the request's, so that of several servers one says it.
		ObjectMeta:     metav1.ObjectMeta{Namespace: events.Namespace, Name: fmt.Sprintf("csr-%s.waits", r.UID)},
		InvolvedObject: corev1.ObjectReference{APIVersion: certificatesv1.SchemeGroupVersion.String(), Kind: "CertificateSigningRequest", Name: r.Name, UID: r.UID},
		Reason:         "ApprovalRequired", Message: message, Type: corev1.EventTypeWarning,
		Source: corev1.EventSource{Component: fieldManager}, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}
	if len(s.told) >= maxTold {
		clear(s.told)
	}
	s.told[r.UID] = true
	_, err := s.cfg.Registry.Create(ctx, events, e, registry.WriteOptions{FieldManager: fieldManager})
	if apierrors.IsAlreadyExists(err) {
		return
	}
	s.cfg.Log.Warn("a certificate signing request waits for a person", "name", r.Name, "signer", r.Spec.SignerName, "user", r.Spec.Username, "reason", why)
	if err != nil {
		s.cfg.Log.Debug("an event was not written", "name", e.Name, "error", err) // the log has it
	}
}
