package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/transport"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

// TestTokenWebhook: a service knows tokens; it is asked after the cluster's own, its
// answers are kept, and without it those are known who need it not.
func TestTokenWebhook(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	srv := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review authenticationv1.TokenReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil || review.APIVersion != "authentication.k8s.io/v1" {
			http.Error(w, fmt.Sprint(err, review.APIVersion), http.StatusBadRequest)
			return
		}
		if review.Spec.Token == "good" {
			asked.Add(1)
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: review.Spec.Audiences,
				User: authenticationv1.UserInfo{Username: "ann", UID: "7", Groups: []string{"dev"}, Extra: map[string]authenticationv1.ExtraValue{"example.com/from": {"hook"}}}}
		}
		if review.Spec.Token == "elsewhere" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, Audiences: []string{"another server"}, User: authenticationv1.UserInfo{Username: "bob"}}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(review)
	}))
	t.Cleanup(srv.Close)
	ca := write(t, "", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw})))
	s := start(t, func(o *authn.Options) {
		o.Webhook.Version = "v1"
		o.Webhook.ConfigFile = write(t, "", fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: hook, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: server, user: {}}]
contexts: [{name: hook, context: {cluster: hook, user: server}}]
current-context: hook
`, srv.URL, ca))
	})
	for range 3 {
		u, err := whoami(t, s.Bearer("good"))
		if err != nil || u.Username != "ann" || u.UID != "7" || !slices.Equal(u.Groups, []string{"dev", "system:authenticated"}) || !slices.Equal(u.Extra["example.com/from"], []string{"hook"}) {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	if n := asked.Load(); n != 1 {
		t.Errorf("the webhook was asked %d times", n)
	}
	for _, token := range []string{"bad", "elsewhere", strings.Repeat("x", 17<<10)} {
		if u, err := whoami(t, s.Bearer(token)); !apierrors.IsUnauthorized(err) {
			t.Errorf("token %.10q: %q, %v", token, u.Username, err)
		}
	}
	review, err := kerneltest.Client(t, s.Admin()).AuthenticationV1().TokenReviews().Create(t.Context(), &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: "good", Audiences: []string{"vault"}}}, metav1.CreateOptions{})
	if err != nil || review.Status.User.Username != "ann" || !slices.Equal(review.Status.Audiences, []string{"vault"}) {
		t.Errorf("review for another audience: %+v, %v", review, err)
	}
	srv.Close()
	if _, err := whoami(t, s.Bearer("new")); !apierrors.IsUnauthorized(err) {
		t.Errorf("without the webhook: %v", err)
	}
	if u, err := whoami(t, s.User(t, "cid")); err != nil || u.Username != "cid" {
		t.Errorf("a certificate without the webhook: %q, %v", u.Username, err)
	}
}

// authority signs client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	n    int64
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "proxies"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

func (a *authority) sign(t *testing.T, c *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.n++
	c.SerialNumber, c.NotBefore, c.NotAfter = big.NewInt(a.n), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, by := a.cert, a.key
	if parent == nil {
		parent, by = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	out, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return out, key
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// proxy is the configuration of a client with a certificate of the authority, which
// says that it acts for a user.
func (a *authority) proxy(t *testing.T, s *kerneltest.Server, name, user string) *rest.Config {
	t.Helper()
	c, key := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cfg := s.Bearer("")
	cfg.CertData, cfg.KeyData = certPEM(c), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})
	return saying(cfg, user)
}

func saying(cfg *rest.Config, user string) *rest.Config {
	cfg.Wrap(func(rt http.RoundTripper) http.RoundTripper {
		return transport.NewAuthProxyRoundTripper(user, "7", []string{"dev"}, map[string][]string{"example.com/Team": {"a"}}, rt)
	})
	return cfg
}

// TestFrontProxy: a proxy that shows its certificate says who the user is; nobody else
// does, and what he says is passed on to nobody.
func TestFrontProxy(t *testing.T) {
	t.Parallel()
	a := newAuthority(t)
	s := start(t, func(o *authn.Options) {
		o.Header = authn.RequestHeader{ClientCAFile: write(t, "", string(certPEM(a.cert))), AllowedNames: []string{"proxy"}, UsernameHeaders: []string{"X-Remote-User"},
			UIDHeaders: []string{"X-Remote-Uid"}, GroupHeaders: []string{"X-Remote-Group"}, ExtraHeaderPrefixes: []string{"X-Remote-Extra-"}}
	})
	u, err := whoami(t, a.proxy(t, s, "proxy", "ann"))
	if err != nil || u.Username != "ann" || u.UID != "7" || !slices.Equal(u.Groups, []string{"dev", "system:authenticated"}) || !slices.Equal(u.Extra["example.com/team"], []string{"a"}) {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := whoami(t, a.proxy(t, s, "another", "ann")); !apierrors.IsUnauthorized(err) {
		t.Errorf("a certificate of another name: %q, %v", u.Username, err)
	}
	if u, err := whoami(t, newAuthority(t).proxy(t, s, "proxy", "ann")); !apierrors.IsUnauthorized(err) {
		t.Errorf("a certificate of another authority: %q, %v", u.Username, err)
	}
	if u, err := whoami(t, saying(s.User(t, "proxy"), "ann")); err != nil || u.Username != "proxy" {
		t.Errorf("a user of that name: %q, %v", u.Username, err)
	}
}

// TestFrontProxyIsNotEverybody: an authority of users is none of proxies, unless it is
// said which of them are.
func TestFrontProxyIsNotEverybody(t *testing.T) {
	t.Parallel()
	s := kerneltest.Start(t, kerneltest.Options{Config: func(*kernel.Config) {}})
	for want, names := range map[string][]string{"--requestheader-allowed-names": nil, "": {"proxy"}} {
		o := authn.DefaultOptions()
		o.Header = authn.RequestHeader{ClientCAFile: write(t, "", string(s.PKI.CAPEM())), UsernameHeaders: []string{"X-Remote-User"}, AllowedNames: names}
		a, err := authn.Open(authn.Config{Options: o})
		if err != nil {
			t.Fatal(err)
		}
		err = a.CheckClientCA(s.PKI.CA())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("got %v, want %q", err, want)
		}
		_ = a.Close()
	}
}
