// Package apitest runs an API server with authentication, RBAC and a small
// table of Kubernetes' kinds over a store in memory, for tests of the kernel.
//
// It warns against itself: its kinds have no validation, defaults or columns
// beyond what is written in table.go; what a kind means is tested where the
// real table is.
package apitest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/review"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Options change what New makes.
type Options struct {
	Table  *resource.Table           // nil is the small one of Table
	Store  store.Store               // nil is a new one in memory; several clusters on one are servers of one
	Cache  func(c *watch.Config)     // last changes before the watch cache is made
	Clock  clock.WithTicker          // of tokens and certificates
	Server func(c *apiserver.Config) // last changes before the server is made
}

// Cluster is a running API server.
type Cluster struct {
	Catalog    *resource.Catalog
	URL        string
	Server     *apiserver.Server
	Core       *registry.Core
	Registry   registry.Registry // the administrator's
	Reader     resource.Reader
	PKI        *pki.PKI
	Tokens     *token.Authority
	Authorizer auth.Authorizers
	RBAC       *rbac.Authorizer
	Authn      *auth.Authenticator
}

// New starts a cluster that lasts as long as the test.
func New(t testing.TB, o Options) *Cluster {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	table := o.Table
	if table == nil {
		var err error
		table, err = Table()
		must(t, err)
	}
	catalog := resource.NewCatalog(table)
	codec := resource.NewCodec(catalog)
	st := o.Store
	if st == nil {
		st = memory.New()
	}
	caching := watch.Config{Store: st, Catalog: catalog, Decode: codec.Decode}
	if o.Cache != nil {
		o.Cache(&caching)
	}
	cache := watch.New(caching)
	keys, err := pki.Open(pki.Config{Dir: t.TempDir(), Clock: o.Clock})
	must(t, err)

	c := &Cluster{PKI: keys, Catalog: catalog}
	reader := auth.LateReader(func() resource.Reader { return c.Core.Reader() })
	c.Reader = reader
	c.Tokens, err = token.New(token.Config{Key: keys.ServiceAccountKey(), Reader: reader, Clock: o.Clock})
	must(t, err)
	c.RBAC = rbac.New(reader)
	rules, err := rbac.NodeRules()
	must(t, err)
	c.Authorizer = auth.Authorizers{node.NewAuthorizer(reader, rules), c.RBAC}
	c.Authn = auth.New(auth.Config{ClientCAs: keys.Pool(), Clock: o.Clock,
		Tokens: []authenticator.Token{c.Tokens, &auth.BootstrapTokens{Reader: reader, Clock: o.Clock}}})

	chain := &admission.Chain{}
	chain.Set("rbac-escalation", 100, admission.Rule{Validate: rbac.NewEscalation(c.RBAC, c.Authorizer)})
	chain.Set("node-restriction", 100, admission.Rule{Validate: &node.Restriction{Reader: reader, Authorizer: c.Authorizer}})
	chain.Set("certificate-permissions", 100, admission.Rule{Validate: &signer.Permissions{Authorizer: c.Authorizer, Reader: reader}})
	c.Core, err = registry.New(registry.Config{
		Catalog: catalog, Codec: codec, Store: st, Cache: cache, Admission: chain,
		Actions: map[string]registry.Action{"serviceaccounts/token": c.Tokens.Request},
		Virtual: review.Handlers(review.Config{Tokens: c.Authn, Audiences: c.Tokens.Audiences(), Authorizer: c.Authorizer, Rules: c.RBAC}),
	})
	must(t, err)
	c.Registry = c.Core.As(auth.APIServer)

	done := make(chan error, 1)
	go func() { done <- cache.Run(ctx) }()
	<-cache.Ready()
	c.seed(t, ctx)

	cfg := apiserver.Config{
		Registry: c.Core, Catalog: catalog, Codec: codec, Reader: reader,
		Authenticator: c.Authn, Audiences: c.Tokens.Audiences(), Authorizer: c.Authorizer,
		NodeTLS: keys.KubeletTLS(), JWKS: c.Tokens.JWKS,
		OIDCDiscovery: func() ([]byte, error) { return c.Tokens.Discovery(c.URL + "/openid/v1/jwks") },
		Log:           slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	if o.Server != nil {
		o.Server(&cfg)
	}
	c.Server, err = apiserver.New(cfg)
	must(t, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c.URL = "https://" + l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- c.Server.Run(ctx, l, keys.ServerTLS()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("server: %v", err)
		}
		<-done
	})
	return c
}

// seed makes the namespaces and the default policy.
func (c *Cluster) seed(t testing.TB, ctx context.Context) {
	t.Helper()
	for _, ns := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		_, err := c.Registry.Create(ctx, registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("namespaces")},
			&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, registry.WriteOptions{})
		if !apierrors.IsAlreadyExists(err) {
			must(t, err)
		}
	}
	p, err := rbac.DefaultPolicy()
	must(t, err)
	must(t, p.Ensure(ctx, c.Registry))
}

// Admin is the configuration of a client that may do everything.
func (c *Cluster) Admin() *rest.Config {
	return c.config(c.PKI.Admin())
}

// User is the configuration of a client with a certificate.
func (c *Cluster) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	p, err := c.PKI.Issue(pki.Leaf{CommonName: name, Organizations: groups, Client: true})
	must(t, err)
	return c.config(p)
}

// Bearer is the configuration of a client with a token, or with none for "".
func (c *Cluster) Bearer(token string) *rest.Config {
	return &rest.Config{Host: c.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: c.PKI.CAPEM()}, QPS: -1}
}

func (c *Cluster) config(p *pki.Pair) *rest.Config {
	return &rest.Config{Host: c.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: c.PKI.CAPEM(), CertData: p.CertPEM, KeyData: p.KeyPEM}}
}

// Client makes a clientset.
func Client(t testing.TB, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(cfg)
	must(t, err)
	return cs
}

// HTTP is a plain client of the administrator.
func (c *Cluster) HTTP() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: c.tls(), ForceAttemptHTTP2: true, DisableCompression: true}}
}

func (c *Cluster) tls() *tls.Config { return c.PKI.AdminTLS() }

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
