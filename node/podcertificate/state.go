package podcertificate

import (
	"crypto"
	"fmt"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// state is how far the certificate of one source has come. It is upstream's
// machine in three parts that may be set: initial is none of them, wait is
// pending, fresh is held, waitrefresh is both, denied and failed are refused.
// Methods are pure: the time and the API's object come from outside.
type state struct {
	held    *credential // nil before the first
	pending *request    // nil when none is open
	refused error       // for good
	refusal string      // how, in the metric's words

	// What events told of held, once each.
	toldOverdue, toldExpired bool
}

// credential is a key with its certificates.
type credential struct {
	key, chain []byte // PEM
	refreshAt  time.Time
	notAfter   time.Time
}

// request is a PodCertificateRequest that is open, with the key that it is for.
type request struct {
	namespace, name string
	uid             types.UID
	key             []byte // PEM
	public          crypto.PublicKey
	// seen: the API has shown it, so that it was deleted if it is not there.
	seen bool
	// abandonAt is when it counts as deleted though nobody has seen it.
	abandonAt time.Time
}

const (
	// assumeDeleted is after how long a request counts as deleted that does not
	// appear, with jitter; overdueAfter how long after its time a renewal is
	// overdue. Both are upstream's.
	assumeDeleted = 10 * time.Minute
	overdueAfter  = 10 * time.Minute
)

// event is something to be told of a pod.
type event struct{ reason, message string }

// Reasons of events, upstream's.
const (
	reasonOverdue = "CertificateOverdueForRefresh"
	reasonExpired = "CertificateExpired"
)

// due reports whether a request is to be made.
func (s *state) due(now time.Time) bool {
	return s.refused == nil && s.pending == nil && (s.held == nil || !now.Before(s.held.refreshAt))
}

// look takes in what the API has of the open request, nil for nothing. changed
// reports whether what the pod's files show has.
func (s *state) look(now time.Time, r *certificatesv1.PodCertificateRequest, jitter func() time.Duration) (changed bool, events []event) {
	if s.pending != nil {
		if r != nil && r.UID != s.pending.uid {
			r, s.pending.seen = nil, true // another one of that name
		}
		switch {
		case r != nil:
			s.pending.seen = true
			changed, events = s.answer(r, jitter)
		case s.pending.seen || now.After(s.pending.abandonAt):
			s.pending = nil // it was deleted: ask anew
		}
	}
	return changed, append(events, s.age(now)...)
}

// answer takes in the signer's answer, if there is one.
func (s *state) answer(r *certificatesv1.PodCertificateRequest, jitter func() time.Duration) (changed bool, events []event) {
	for i := range r.Status.Conditions {
		c := &r.Status.Conditions[i]
		switch c.Type {
		case certificatesv1.PodCertificateRequestConditionTypeDenied:
			return true, s.refuse(r, c, "denied", "was denied")
		case certificatesv1.PodCertificateRequestConditionTypeFailed:
			return true, s.refuse(r, c, "failed", "failed")
		case certificatesv1.PodCertificateRequestConditionTypeIssued:
			chain, err := usable(&r.Status, s.pending.public)
			if err != nil {
				unusable := &metav1.Condition{Type: certificatesv1.PodCertificateRequestConditionTypeFailed, Reason: "UnusableAnswer", Message: err.Error()}
				return true, s.refuse(r, unusable, "failed", "failed")
			}
			*s = state{held: &credential{key: s.pending.key, chain: chain, refreshAt: r.Status.BeginRefreshAt.Add(jitter()), notAfter: r.Status.NotAfter.Time}}
			return true, nil
		}
	}
	return false, nil
}

// maxText bounds what is told of a signer's words, in bytes: they come with
// each event of the pod.
const maxText = 1024

func (s *state) refuse(r *certificatesv1.PodCertificateRequest, c *metav1.Condition, how, what string) []event {
	message := c.Message
	if len(message) > maxText {
		message = message[:maxText] + "…"
	}
	s.pending, s.refusal = nil, how
	s.refused = fmt.Errorf("PodCertificateRequest was permanently %s: reason=%q message=%q", how, c.Reason, message)
	return []event{{c.Type, fmt.Sprintf("PodCertificateRequest %s/%s %s, reason=%q, message=%q", r.Namespace, r.Name, what, c.Reason, message)}}
}

// age tells, once each, that the renewal is overdue and that the certificate has
// run out.
func (s *state) age(now time.Time) (events []event) {
	if s.held == nil || s.refused != nil {
		return nil
	}
	if s.overdue(now) && !s.toldOverdue {
		s.toldOverdue = true
		events = append(events, event{reasonOverdue, "PodCertificate refresh overdue"})
	}
	if now.After(s.held.notAfter) && !s.toldExpired {
		s.toldExpired = true
		events = append(events, event{reasonExpired, "PodCertificate expired"})
	}
	return events
}

func (s *state) overdue(now time.Time) bool { return now.After(s.held.refreshAt.Add(overdueAfter)) }

// next is when look and due may answer otherwise than at now, though nothing
// happens; zero for never.
func (s *state) next(now time.Time) (next time.Time) {
	if s.refused != nil {
		return next
	}
	at := func(t time.Time) {
		if t.After(now) && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	if s.pending != nil && !s.pending.seen {
		at(s.pending.abandonAt.Add(time.Nanosecond))
	}
	if s.held != nil {
		at(s.held.refreshAt)
		at(s.held.refreshAt.Add(overdueAfter + time.Nanosecond))
		at(s.held.notAfter.Add(time.Nanosecond))
	}
	return next
}

// name is the state in upstream's metric.
func (s *state) name(now time.Time) string {
	switch {
	case s.refused != nil:
		return s.refusal
	case s.held == nil:
		return "not_yet_issued"
	case now.After(s.held.notAfter):
		return "expired"
	case s.overdue(now):
		return "overdue_for_refresh"
	}
	return "fresh"
}
