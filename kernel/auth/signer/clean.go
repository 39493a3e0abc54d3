package signer

import (
	"crypto/x509"
	"encoding/pem"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// How long requests are kept, as upstream does: since they were answered, or made if
// they were not.
const (
	keepDone    = time.Hour
	keepPending = 24 * time.Hour
)

// old tells that nobody needs a request any more. It is upstream's cleaner.
func old(r *certificatesv1.CertificateSigningRequest, now time.Time) bool {
	past := func(t time.Time, d time.Duration) bool { return !t.IsZero() && now.Sub(t) > d }
	if len(r.Status.Conditions) == 0 {
		return past(r.CreationTimestamp.Time, keepPending)
	}
	issued := len(r.Status.Certificate) > 0
	for i := range r.Status.Conditions {
		c := &r.Status.Conditions[i]
		keep := keepDone
		if c.Type == certificatesv1.CertificateApproved && !issued {
			keep = keepPending
		}
		if past(c.LastUpdateTime.Time, keep) || c.Type == certificatesv1.CertificateApproved && issued && expired(r.Status.Certificate, now) {
			return true
		}
	}
	return false
}

// expired tells that the first of some certificates is over.
func expired(data []byte, now time.Time) bool {
	b, _ := pem.Decode(data)
	if b == nil {
		return false
	}
	certs, err := x509.ParseCertificates(b.Bytes)
	return err == nil && len(certs) > 0 && now.After(certs[0].NotAfter)
}
