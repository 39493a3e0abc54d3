// Package kerneltest starts a control plane for tests: exactly the one that
// kernel.New makes, over a store in memory unless a test brings another, with the
// admission rules, loops and identities of the real one.
package kerneltest

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/lease"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
)

// Options change what Start makes.
type Options struct {
	Table *resource.Table // nil is the small one of Table
	// Dir is the data directory: servers that share their keys have copies of it.
	// "" is a new one.
	Dir    string
	Store  store.Store // nil is a new one in memory
	Adjust kernel.Adjust
	Lease  lease.Times
	// Follows makes it a server beside another that leads: nothing runs here but
	// what every server does, and a test may bring a loop of its own.
	Follows bool
	// Early has Start return once the server is ready: a test holds up what comes after.
	Early bool
	// Config makes last changes, such as plugins and hosts.
	Config func(c *kernel.Config)
}

var admin = &user.DefaultInfo{Name: "kubernetes-admin", Groups: []string{user.SystemPrivilegedGroup, user.AllAuthenticated}}

// Server is a control plane that runs.
type Server struct {
	*kernel.Kernel
	URL        string
	Server     *apiserver.Server
	Registry   registry.Registry // the administrator's
	Reader     resource.Reader
	PKI        *pki.PKI
	Tokens     *token.Authority
	Authorizer authorizer.UnconditionalAuthorizer
	RBAC       *rbac.Authorizer
	Authn      *auth.Authenticator

	stop func()
}

// startTime ends a start that hangs, long before the test's own deadline would without a
// word.
const startTime = 4 * time.Minute

// Start runs a control plane that lasts as long as the test, and returns once its
// start is over altogether: it is ready, and, unless Early, [kernel.Settled]. A test need not wait
// for anything that was there before.
func Start(t testing.TB, o Options) *Server {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if o.Table == nil {
		var err error
		o.Table, err = Table()
		must(t, err)
	}
	if o.Store == nil {
		o.Store = memory.New()
	}
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	c := kernel.Config{
		Dir: o.Dir, Table: o.Table, Store: o.Store, Listeners: []net.Listener{l}, Advertise: l.Addr().(*net.TCPAddr).AddrPort(),
		ServiceIP: netip.MustParseAddr("10.96.0.1"), Adjust: o.Adjust, Lease: o.Lease,
		Log: slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
	if o.Config != nil {
		o.Config(&c)
	}
	k, err := kernel.New(ctx, c)
	must(t, err)
	a := k.Auth()
	s := &Server{Kernel: k, URL: "https://" + l.Addr().String(), Server: k.API(), Registry: k.Access().As(admin), Reader: k.Reader(), PKI: k.PKI(),
		Tokens: a.Tokens, Authorizer: a.Authorizer, RBAC: a.RBAC, Authn: a.Authenticator}
	if o.Follows {
		anotherLeads(t, s.Registry)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	go func() { done <- k.Run(ctx, func() { close(ready) }) }()
	stopped := false
	s.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	}
	t.Cleanup(s.stop)
	look, late := time.NewTicker(2*time.Millisecond), time.NewTimer(startTime)
	defer look.Stop()
	defer late.Stop()
	for isReady := false; !isReady || !o.Early && !kernel.Settled(k); {
		select {
		case <-ready:
			isReady, ready = true, nil
		case <-look.C:
		case <-late.C:
			t.Fatalf("the start is not over after %s: ready %t, settled %t", startTime, isReady, kernel.Settled(k))
		case err := <-done:
			stopped = true
			cancel()
			t.Fatalf("the server ended: %v", err)
		}
	}
	return s
}

// anotherLeads writes the lease of a leader that is somewhere else.
func anotherLeads(t testing.TB, r registry.Registry) {
	t.Helper()
	ctx := admission.WithOwnObjects(t.Context()) // no policies have been read yet
	ensure := func(gv schema.GroupVersion, resource, namespace string, o runtime.Object) {
		t.Helper()
		_, err := r.Create(ctx, registry.Target{Resource: gv.WithResource(resource), Namespace: namespace}, o, registry.WriteOptions{})
		if !apierrors.IsAlreadyExists(err) {
			must(t, err)
		}
	}
	who, seconds := "elsewhere", int32(24*time.Hour/time.Second)
	ensure(corev1.SchemeGroupVersion, "namespaces", "", &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: metav1.NamespaceSystem}})
	ensure(coordinationv1.SchemeGroupVersion, "leases", metav1.NamespaceSystem, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "pintle-leader"},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &who, LeaseDurationSeconds: &seconds}})
}

// Stop ends the server, as a signal would.
func (s *Server) Stop() { s.stop() }

// Admin is the configuration of a client that may do everything.
func (s *Server) Admin() *rest.Config { return s.config(s.PKI.Admin()) }

// User is the configuration of a client with a certificate.
func (s *Server) User(t testing.TB, name string, groups ...string) *rest.Config {
	t.Helper()
	p, err := s.PKI.Issue(pki.Leaf{CommonName: name, Organizations: groups, Client: true})
	must(t, err)
	return s.config(p)
}

// Bearer is the configuration of a client with a token, or with none for "".
func (s *Server) Bearer(token string) *rest.Config {
	return &rest.Config{Host: s.URL, BearerToken: token, TLSClientConfig: rest.TLSClientConfig{CAData: s.PKI.CAPEM()}, QPS: -1}
}

func (s *Server) config(p *pki.Pair) *rest.Config {
	return &rest.Config{Host: s.URL, QPS: -1, TLSClientConfig: rest.TLSClientConfig{
		CAData: s.PKI.CAPEM(), CertData: p.CertPEM, KeyData: p.KeyPEM}}
}

// Client makes a clientset.
func Client(t testing.TB, cfg *rest.Config) *kubernetes.Clientset {
	t.Helper()
	cs, err := kubernetes.NewForConfig(cfg)
	must(t, err)
	return cs
}

// HTTP is a plain client of the administrator.
func (s *Server) HTTP() *http.Client {
	return &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: s.tls(), ForceAttemptHTTP2: true, DisableCompression: true}}
}

func (s *Server) tls() *tls.Config { return s.PKI.AdminTLS() }

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
