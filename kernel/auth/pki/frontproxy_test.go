package pki_test

import (
	"bytes"
	"crypto/x509"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/auth/pki"
)

// TestFrontProxy: every server of a cluster has the same authority, which is none of
// its other ones, and other clusters have others.
func TestFrontProxy(t *testing.T) {
	clock := testclock.NewFakeClock(time.Now())
	first := open(t, pki.Config{Dir: t.TempDir(), Clock: clock})
	keys, err := pki.ParseKeys(nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := keys.Complete(clock.Now()); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, pki.Config{Dir: dir, Keys: keys, Clock: clock}), open(t, pki.Config{Dir: t.TempDir(), Keys: keys, Clock: clock})
	if !bytes.Equal(a.FrontProxyCAPEM(), b.FrontProxyCAPEM()) {
		t.Error("two servers with the same keys have different authorities")
	}
	if bytes.Equal(a.FrontProxyCAPEM(), first.FrontProxyCAPEM()) || bytes.Equal(a.FrontProxyCAPEM(), a.CAPEM()) {
		t.Error("two clusters, or two purposes, have the same authority")
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(b.FrontProxyCAPEM())
	verify := func(when time.Time) *x509.Certificate {
		t.Helper()
		c, err := a.FrontProxyTLS().GetClientCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: when}); err != nil {
			t.Error(err)
		}
		if c.Leaf.Subject.CommonName != pki.FrontProxyUser {
			t.Errorf("it is %s's", c.Leaf.Subject)
		}
		if _, err := c.Leaf.Verify(x509.VerifyOptions{Roots: a.Pool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, CurrentTime: when}); err == nil {
			t.Error("it is good for a client of the cluster, too")
		}
		return c.Leaf
	}
	before := verify(clock.Now())
	if again := verify(clock.Now()); !before.Equal(again) {
		t.Error("a certificate is made for each connection")
	}
	clock.Step(pki.LeafLifetime - pki.RenewBefore/2)
	if after := verify(clock.Now()); before.Equal(after) {
		t.Error("it is not renewed")
	}
}
