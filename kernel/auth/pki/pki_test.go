package pki_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/auth/pki"
)

func open(t *testing.T, cfg pki.Config) *pki.PKI {
	t.Helper()
	p, err := pki.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenMakesFilesForTheirOwnerOnly(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "pki")
	open(t, pki.Config{Dir: dir})
	n := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if got := info.Mode().Perm() & 0o077; got != 0 {
			t.Errorf("%s: mode %o, want nothing for others", path, info.Mode().Perm())
		}
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := 1 + 2*2 + 3*2 + 1; n != want {
		t.Errorf("got %d files, want %d", n, want)
	}
}

func TestOpenLoadsWhatIsThere(t *testing.T) {
	cfg := pki.Config{Dir: t.TempDir()}
	a, b := open(t, cfg), open(t, cfg)
	if a.CAHash() != b.CAHash() {
		t.Error("second open made another CA")
	}
	if !a.Admin().Certificate.Equal(b.Admin().Certificate) {
		t.Error("second open issued another admin certificate")
	}
	if !a.ServiceAccountKey().Equal(b.ServiceAccountKey()) {
		t.Error("second open made another service-account key")
	}
}

// Half an authority is not made whole with another: what the old one signed would be
// worth nothing.
func TestOpenRefusesHalfACA(t *testing.T) {
	for _, lost := range []string{"ca.key", "ca.crt", "kubelet-serving-ca.key", "kubelet-serving-ca.crt"} {
		dir := t.TempDir()
		open(t, pki.Config{Dir: dir})
		before, err := pki.ReadKeys(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(filepath.Join(dir, lost)); err != nil {
			t.Fatal(err)
		}
		_, err = pki.Open(pki.Config{Dir: dir})
		if err == nil || !strings.Contains(err.Error(), lost+" does not") || !strings.Contains(err.Error(), "backup") {
			t.Errorf("%s is lost: %v", lost, err)
		}
		left, err := pki.ReadKeys(dir)
		if err != nil || !slices.Equal(left.Missing(), []string{lost}) || !maps.Equal(left.Fingerprints(), before.Fingerprints()) {
			t.Errorf("%s is lost: %v is missing now, %v", lost, left.Missing(), err)
		}
	}
}

// A certificate of the server's own that is damaged is issued again: the authority is
// there.
func TestOpenReplacesDamagedLeaves(t *testing.T) {
	cfg := pki.Config{Dir: t.TempDir()}
	a := open(t, cfg)
	for _, name := range []string{"apiserver.crt", "apiserver.key", "admin.crt", "apiserver-kubelet-client.key"} {
		for _, damage := range []string{"", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"} {
			if err := os.WriteFile(filepath.Join(cfg.Dir, name), []byte(damage), 0o600); err != nil {
				t.Fatal(err)
			}
			b := open(t, cfg)
			if b.CAHash() != a.CAHash() || b.Admin().Certificate.CheckSignatureFrom(ca(t, a)) != nil {
				t.Errorf("%s is %q: another authority, or no certificate of it", name, damage)
			}
		}
	}
	// What cannot be read is another matter.
	if err := os.Remove(filepath.Join(cfg.Dir, "admin.crt")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(cfg.Dir, "admin.crt"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := pki.Open(cfg); err == nil || !strings.Contains(err.Error(), "admin") {
		t.Errorf("a directory in the place of a certificate: %v", err)
	}
}

func ca(t *testing.T, p *pki.PKI) *x509.Certificate {
	t.Helper()
	b, _ := pem.Decode(p.CAPEM())
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestRenewal(t *testing.T) {
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	tests := []struct {
		name  string
		later time.Duration
		renew bool
	}{
		{"fresh", 24 * time.Hour, false},
		{"just before", pki.LeafLifetime - pki.RenewBefore - time.Hour, false},
		{"near the end", pki.LeafLifetime - pki.RenewBefore + time.Hour, true},
		{"past the end", pki.LeafLifetime + time.Hour, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clk := testclock.NewFakeClock(start)
			p := open(t, pki.Config{Dir: t.TempDir(), Clock: clk})
			before := p.Admin().Certificate
			clk.Step(tt.later)
			if err := p.Renew(); err != nil {
				t.Fatal(err)
			}
			if got := !p.Admin().Certificate.Equal(before); got != tt.renew {
				t.Errorf("renewed: got %v, want %v", got, tt.renew)
			}
		})
	}
}

func TestNewAddressReissuesServing(t *testing.T) {
	dir := t.TempDir()
	serving := func(p *pki.PKI) *x509.Certificate {
		c, err := p.ServerTLS().GetCertificate(nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Leaf
	}
	a := serving(open(t, pki.Config{Dir: dir}))
	b := serving(open(t, pki.Config{Dir: dir}))
	if !a.Equal(b) {
		t.Error("reissued without a reason")
	}
	c := serving(open(t, pki.Config{Dir: dir, IPs: []net.IP{net.IPv4(10, 96, 0, 1)}, DNSNames: []string{"api.example"}}))
	if c.Equal(a) {
		t.Error("not reissued for a new address")
	}
	for _, name := range []string{"10.96.0.1", "api.example", "localhost", "127.0.0.1", "kubernetes.default.svc"} {
		if err := c.VerifyHostname(name); err != nil {
			t.Error(err)
		}
	}
}

func TestMutualTLS(t *testing.T) {
	p := open(t, pki.Config{Dir: t.TempDir()})
	l, err := tls.Listen("tcp", "127.0.0.1:0", p.ServerTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan string, 1)
	go func() {
		c, err := l.Accept()
		if err != nil {
			got <- err.Error()
			return
		}
		defer c.Close()
		tc := c.(*tls.Conn)
		if err := tc.Handshake(); err != nil {
			got <- err.Error()
			return
		}
		certs := tc.ConnectionState().PeerCertificates
		if len(certs) == 0 {
			got <- "no client certificate"
			return
		}
		got <- certs[0].Subject.CommonName + " " + certs[0].Subject.Organization[0]
	}()
	c, err := tls.Dial("tcp", l.Addr().String(), p.AdminTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if g, want := <-got, "kubernetes-admin system:masters"; g != want {
		t.Errorf("got %q, want %q", g, want)
	}
}

func TestIssuedForNodes(t *testing.T) {
	p := open(t, pki.Config{Dir: t.TempDir()})
	client, err := p.IssueNodeClient("n1")
	if err != nil {
		t.Fatal(err)
	}
	serving, err := p.IssueNodeServing("n1", []net.IP{net.IPv4(192, 0, 2, 1)})
	if err != nil {
		t.Fatal(err)
	}
	everybody, server := p.Pool(), p.KubeletTLS().RootCAs
	tests := []struct {
		name  string
		pair  *pki.Pair
		roots *x509.CertPool
		usage x509.ExtKeyUsage
		ok    bool
	}{
		{"client as a client", client, everybody, x509.ExtKeyUsageClientAuth, true},
		{"client as a server", client, everybody, x509.ExtKeyUsageServerAuth, false},
		{"node's server, to the API server", serving, server, x509.ExtKeyUsageServerAuth, true},
		{"node's server, to clients of the API", serving, everybody, x509.ExtKeyUsageServerAuth, false},
		{"node's server as a client", serving, everybody, x509.ExtKeyUsageClientAuth, false},
		{"the API's own certificate as a node's", p.Admin(), server, x509.ExtKeyUsageAny, false},
	}
	for _, tt := range tests {
		_, err := tt.pair.Certificate.Verify(x509.VerifyOptions{Roots: tt.roots, KeyUsages: []x509.ExtKeyUsage{tt.usage}})
		if (err == nil) != tt.ok {
			t.Errorf("%s: got %v, want ok=%v", tt.name, err, tt.ok)
		}
	}
	if err := serving.Certificate.VerifyHostname("192.0.2.1"); err != nil {
		t.Error(err)
	}
}

func TestKubeconfig(t *testing.T) {
	p := open(t, pki.Config{Dir: t.TempDir()})
	file := filepath.Join(t.TempDir(), "sub", "admin.conf")
	if err := p.WriteKubeconfig(file, "https://127.0.0.1:6443", "kubernetes-admin", p.Admin()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode %o, want 600", got)
	}
	rc, err := clientcmd.BuildConfigFromFlags("", file)
	if err != nil {
		t.Fatal(err)
	}
	if rc.Host != "https://127.0.0.1:6443" || string(rc.CAData) != string(p.CAPEM()) || string(rc.CertData) != string(p.Admin().CertPEM) {
		t.Errorf("kubeconfig names %s and other credentials than were written", rc.Host)
	}
}
