package bootstrap_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	clienttesting "k8s.io/client-go/testing"
	testclock "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/node/bootstrap"
)

// authority signs for a cluster of the test's own.
type authority struct {
	t *testing.T
	// nodes signs what nodes serve with; nil: the authority itself.
	nodes *authority
	cert  *x509.Certificate
	key   *ecdsa.PrivateKey
	now   func() time.Time
	life  time.Duration
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, now: time.Now, life: time.Hour}
	var err error
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(240 * time.Hour), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, a.key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *authority) sign(tmpl *x509.Certificate, pub any) []byte {
	a.t.Helper()
	tmpl.SerialNumber, tmpl.NotBefore, tmpl.NotAfter = big.NewInt(time.Now().UnixNano()), a.now(), a.now().Add(a.life)
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, pub, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// server listens with a certificate of the authority, which it sends along.
func (a *authority) server() string {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	leaf := a.sign(&x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}, key.Public())
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf, a.cert.Raw}, PrivateKey: key}}}
	s.StartTLS()
	a.t.Cleanup(s.Close)
	return s.URL
}

func (a *authority) token() string {
	a.t.Helper()
	tok, err := jointoken.New(jointoken.HashCA(a.cert))
	if err != nil {
		a.t.Fatal(err)
	}
	return tok.Format()
}

// api answers certificate requests: the first Get of one is answered signed,
// or denied.
func (a *authority) api(deny bool, asked *[]string) func(*rest.Config) (kubernetes.Interface, error) {
	c := fake.NewSimpleClientset()
	n := 0
	c.PrependReactor("create", "certificatesigningrequests", func(act clienttesting.Action) (bool, runtime.Object, error) {
		n++
		csr := act.(clienttesting.CreateAction).GetObject().(*certificatesv1.CertificateSigningRequest)
		csr.Name = csr.GenerateName + string(rune('a'+n))
		*asked = append(*asked, csr.Spec.SignerName)
		block, _ := pem.Decode(csr.Spec.Request)
		req, err := x509.ParseCertificateRequest(block.Bytes)
		if err != nil || req.CheckSignature() != nil {
			a.t.Errorf("request: %v", err)
		}
		if deny {
			csr.Status.Conditions = []certificatesv1.CertificateSigningRequestCondition{{Type: certificatesv1.CertificateDenied, Status: corev1.ConditionTrue, Message: "no"}}
		} else {
			use, by := x509.ExtKeyUsageClientAuth, a
			if csr.Spec.SignerName == certificatesv1.KubeletServingSignerName {
				use = x509.ExtKeyUsageServerAuth
				if by = a.nodes; by == nil {
					by = a
				}
			}
			csr.Status.Certificate = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: by.sign(&x509.Certificate{
				Subject: req.Subject, DNSNames: req.DNSNames, IPAddresses: req.IPAddresses, ExtKeyUsage: []x509.ExtKeyUsage{use}}, req.PublicKey)})
		}
		if err := c.Tracker().Add(csr); err != nil {
			a.t.Error(err)
		}
		blank := csr.DeepCopy()
		blank.Status = certificatesv1.CertificateSigningRequestStatus{}
		return true, blank, nil
	})
	return func(*rest.Config) (kubernetes.Interface, error) { return c, nil }
}

func text(token string) func() (string, error) {
	if token == "" {
		return nil
	}
	return func() (string, error) { return token, nil }
}

// obtain runs an identity until it has its serving certificate.
func obtain(t *testing.T, id *bootstrap.Identity) *x509.Certificate {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- id.Run(ctx) }()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := id.Serving().GetCertificate(nil)
		if err != nil && time.Now().Before(end) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		return c.Leaf
	}
}

func TestJoin(t *testing.T) {
	a := newAuthority(t)
	a.nodes = newAuthority(t)
	var asked []string
	cfg := bootstrap.Config{Server: a.server(), Token: text(a.token()), Name: "n1", IPs: []netip.Addr{netip.MustParseAddr("10.0.0.7")}, Dir: t.TempDir(), Client: a.api(false, &asked)}
	id, err := bootstrap.Join(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	rc := id.REST()
	pair, err := tls.LoadX509KeyPair(rc.CertFile, rc.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(pair.Certificate[0])
	if err != nil || leaf.Subject.CommonName != "system:node:n1" || leaf.Subject.Organization[0] != "system:nodes" {
		t.Errorf("client certificate: got %v %v", leaf.Subject, err)
	}
	if fi, err := os.Stat(rc.KeyFile); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("key file: got %v %v", fi.Mode(), err)
	}
	if _, err := id.Serving().GetCertificate(nil); err == nil {
		t.Error("a serving certificate before it was asked for")
	}
	if err := obtain(t, id).VerifyHostname("10.0.0.7"); err != nil {
		t.Error(err)
	}
	// The next start needs neither token nor server.
	cfg.Token, cfg.Server = nil, "https://127.0.0.1:1"
	again, err := bootstrap.Join(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := again.Serving().GetCertificate(nil); err != nil {
		t.Errorf("stored serving certificate: %v", err)
	}
	if len(asked) != 2 {
		t.Errorf("asked for %v, want two certificates", asked)
	}
	// What the cluster's own authority signed, the server takes no longer.
	a.nodes = nil
	old := cfg
	old.Dir, old.Server, old.Token = t.TempDir(), a.server(), text(a.token())
	if id, err = bootstrap.Join(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	obtain(t, id)
	if again, err = bootstrap.Join(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Serving().GetCertificate(nil); err == nil {
		t.Error("a serving certificate of the cluster's CA was kept")
	}
	// Another name is another identity.
	cfg.Name = "n2"
	if _, err := bootstrap.Join(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "join token") {
		t.Errorf("other name: got %v", err)
	}
}

func TestJoinRefused(t *testing.T) {
	a, other := newAuthority(t), newAuthority(t)
	var asked []string
	for name, c := range map[string]struct {
		server, token string
		deny          bool
		want          error
		text          string
	}{
		"stranger's server": {server: other.server(), token: a.token(), want: bootstrap.ErrWrongCluster},
		"denied":            {server: a.server(), token: a.token(), deny: true, want: bootstrap.ErrDenied},
		"malformed token":   {server: a.server(), token: "pk1.x", text: "join token"},
		"no token":          {server: a.server(), text: "give it a join token"},
		"plain HTTP":        {server: "http://127.0.0.1:1", token: a.token(), text: "want https"},
		"nobody there":      {server: "https://127.0.0.1:1", token: a.token(), text: "reach the server"},
	} {
		t.Run(name, func(t *testing.T) {
			asked = nil
			dir := t.TempDir()
			_, err := bootstrap.Join(t.Context(), bootstrap.Config{Server: c.server, Token: text(c.token), Name: "n1", Dir: dir, Client: a.api(c.deny, &asked)})
			if c.want != nil && !errors.Is(err, c.want) || err == nil || !strings.Contains(err.Error(), c.text) {
				t.Fatalf("got %v, want %v %q", err, c.want, c.text)
			}
			if errors.Is(err, bootstrap.ErrWrongCluster) && len(asked) > 0 {
				t.Error("the token was sent to a stranger")
			}
			if parts := strings.Split(c.token, "."); len(parts) == 4 && strings.Contains(err.Error(), parts[2]) {
				t.Error("the error shows the token's secret")
			}
			if _, err := os.Stat(filepath.Join(dir, "client.pem")); err == nil {
				t.Error("an identity was stored")
			}
		})
	}
}

func TestRenewal(t *testing.T) {
	a := newAuthority(t)
	clk := testclock.NewFakeClock(time.Now())
	a.now, a.life = clk.Now, 10*time.Hour
	var asked []string
	stop := make(chan struct{})
	go func() { // joining polls by the clock
		for {
			select {
			case <-stop:
				return
			case <-time.After(time.Millisecond):
				clk.Step(50 * time.Millisecond)
			}
		}
	}()
	id, err := bootstrap.Join(t.Context(), bootstrap.Config{Server: a.server(), Token: text(a.token()), Name: "n1", Dir: t.TempDir(), Client: a.api(false, &asked), Clock: clk})
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(id.REST().CertFile)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error)
	go func() { done <- id.Run(ctx) }()
	for {
		now, err := os.ReadFile(id.REST().CertFile)
		if err != nil {
			t.Fatal(err)
		}
		if string(now) != string(first) {
			break
		}
		if ctx.Err() != nil {
			t.Fatal("the client certificate was not renewed")
		}
		if clk.HasWaiters() { // while it renews, no time passes
			clk.Step(10 * time.Minute)
		}
		time.Sleep(time.Millisecond)
	}
	cancel()
	<-done
	if age := time.Until(clk.Now()); age > 9*time.Hour {
		t.Errorf("renewed only after %s of 10h", age)
	}
}
