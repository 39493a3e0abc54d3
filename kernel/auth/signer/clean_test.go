package signer

import (
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/auth/pki"
)

// TestOld is upstream's table of its cleaner (certificates/cleaner).
func TestOld(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	over, valid := cert(t, now.Add(-2*time.Hour)), cert(t, now)
	for name, c := range map[string]struct {
		made, answered time.Duration // ago
		answer         certificatesv1.RequestConditionType
		cert           []byte
		old            bool
	}{
		"new":                             {time.Minute, 0, "", nil, false},
		"pending, of yesterday":           {25 * time.Hour, 0, "", nil, true},
		"pending, of this day":            {23 * time.Hour, 0, "", nil, false},
		"denied long ago":                 {2 * time.Hour, 61 * time.Minute, certificatesv1.CertificateDenied, nil, true},
		"denied, made long ago":           {20 * time.Hour, 59 * time.Minute, certificatesv1.CertificateDenied, nil, false},
		"failed long ago":                 {2 * time.Hour, 61 * time.Minute, certificatesv1.CertificateFailed, nil, true},
		"failed":                          {2 * time.Hour, 59 * time.Minute, certificatesv1.CertificateFailed, nil, false},
		"issued long ago":                 {2 * time.Hour, 61 * time.Minute, certificatesv1.CertificateApproved, valid, true},
		"issued":                          {2 * time.Hour, 59 * time.Minute, certificatesv1.CertificateApproved, valid, false},
		"issued, and over":                {time.Hour, 5 * time.Minute, certificatesv1.CertificateApproved, over, true},
		"issued, which cannot be read":    {time.Hour, 5 * time.Minute, certificatesv1.CertificateApproved, []byte("x"), false},
		"approved, and nobody signs":      {30 * time.Hour, 23 * time.Hour, certificatesv1.CertificateApproved, nil, false},
		"approved, and nobody signs ever": {30 * time.Hour, 25 * time.Hour, certificatesv1.CertificateApproved, nil, true},
		"answered, nobody knows when":     {30 * time.Hour, -1, certificatesv1.CertificateDenied, nil, false},
	} {
		r := &certificatesv1.CertificateSigningRequest{ObjectMeta: metav1.ObjectMeta{CreationTimestamp: metav1.NewTime(now.Add(-c.made))}}
		r.Status.Certificate = c.cert
		if c.answer != "" {
			x := certificatesv1.CertificateSigningRequestCondition{Type: c.answer}
			if c.answered >= 0 {
				x.LastUpdateTime = metav1.NewTime(now.Add(-c.answered))
			}
			r.Status.Conditions = append(r.Status.Conditions, x)
		}
		if got := old(r, now); got != c.old {
			t.Errorf("%s: old %v, want %v", name, got, c.old)
		}
	}
}

// cert is one that lasted, or lasts, an hour from then on.
func cert(t *testing.T, from time.Time) []byte {
	t.Helper()
	p, err := pki.Open(pki.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	pair, err := p.Issue(pki.Leaf{CommonName: "x", Client: true, Lifetime: time.Until(from.Add(time.Hour))})
	if err != nil {
		t.Fatal(err)
	}
	return pair.CertPEM
}

// TestLifetime: what is asked for, within upstream's bounds.
func TestLifetime(t *testing.T) {
	const most = 24 * time.Hour
	for asked, want := range map[int32]time.Duration{0: most - 5*time.Minute, 600: 10 * time.Minute, 60: 10 * time.Minute, 7200: 2 * time.Hour, 36000: 10*time.Hour - 5*time.Minute, 1 << 30: most - 5*time.Minute} {
		r := &certificatesv1.CertificateSigningRequest{}
		if asked > 0 {
			r.Spec.ExpirationSeconds = &asked
		}
		if got := lifetime(r, most); got != want {
			t.Errorf("asked for %d s: %v, want %v", asked, got, want)
		}
	}
}

func TestUsages(t *testing.T) {
	u, err := usagesOf([]certificatesv1.KeyUsage{certificatesv1.UsageSigning, certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth, certificatesv1.UsageSMIME, certificatesv1.UsageEmailProtection})
	if err != nil || u.Key != 1 || len(u.Ext) != 2 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := usagesOf([]certificatesv1.KeyUsage{"flying"}); err == nil {
		t.Error("a usage that there is not is taken")
	}
}
