// Package bootstrap gives a node its identity. With a join token it finds out
// that a server is the right one, asks the server for a client certificate,
// later for a serving certificate, and renews both before they run out. Keys
// are made here and never leave the node.
//
// The trust goes: token → hash of the cluster's CA → CA certificate, which the
// server sends along in its TLS handshake → the server's own certificate. The
// token is sent only after all of it was verified.
package bootstrap

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/internal/jointoken"
)

// Config says who joins what.
type Config struct {
	// Server is the API server's URL, such as "https://10.0.0.1:6443".
	Server string
	// Token reads the join token; nil is none. It is called only when the node
	// has no valid certificate.
	Token func() (string, error)
	// Name of the node.
	Name string
	// IPs are the addresses for the serving certificate.
	IPs []netip.Addr
	// Dir keeps the keys and certificates.
	Dir string
	// Client makes the API's client; nil makes a real one. Tests replace it.
	Client func(*rest.Config) (kubernetes.Interface, error)
	// Clock is the real one when nil.
	Clock clock.WithTicker
	// Log may be nil.
	Log *slog.Logger
}

// Errors that a person can act on.
var (
	// ErrWrongCluster: the server is not the one that made the token.
	ErrWrongCluster = errors.New("the server is not the one that the join token is for")
	// ErrDenied: the request for a certificate was denied.
	ErrDenied = errors.New("the certificate was denied")
)

// Identity is a node's credentials. It may be used concurrently.
type Identity struct {
	cfg   Config
	ca    *x509.Certificate
	caPEM []byte

	mu      sync.Mutex
	client  *tls.Certificate // guarded by mu
	serving *tls.Certificate // nil before the first; guarded by mu
}

// Names of files in Dir.
const (
	caFile      = "ca.pem"
	clientFile  = "client.pem" // certificate and key, so that both change at once
	servingFile = "serving.pem"
)

// Join returns the node's identity: the stored one while it is valid, else a
// new one by the token. It waits until the server has signed it.
//
// # Errors
//
// ErrWrongCluster, ErrDenied, or what keeps the server from being reached.
func Join(ctx context.Context, cfg Config) (*Identity, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Client == nil {
		cfg.Client = func(c *rest.Config) (kubernetes.Interface, error) { return kubernetes.NewForConfig(c) }
	}
	if u, err := url.Parse(cfg.Server); err != nil || u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("server %q: want https://host:port", cfg.Server)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	id := &Identity{cfg: cfg}
	if id.load() {
		return id, nil
	}
	if cfg.Token == nil {
		return nil, errors.New("the node has no identity yet: give it a join token (pintle token create)")
	}
	text, err := cfg.Token()
	if err != nil {
		return nil, err
	}
	token, err := jointoken.Parse(text)
	if err != nil {
		return nil, err
	}
	if err := id.verifyServer(ctx, token); err != nil {
		return nil, err
	}
	client, err := cfg.Client(&rest.Config{Host: cfg.Server, BearerToken: token.Bearer(),
		TLSClientConfig: rest.TLSClientConfig{CAData: id.caPEM}})
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	cert, err := id.request(ctx, client, clientRequest(cfg.Name))
	if err != nil {
		return nil, fmt.Errorf("join: %w", err)
	}
	if err := id.save(clientFile, cert); err != nil {
		return nil, err
	}
	id.client = cert
	return id, nil
}

// load takes the stored identity if it is valid, for this node.
func (id *Identity) load() bool {
	caPEM, err := os.ReadFile(id.file(caFile))
	if err != nil {
		return false
	}
	ca, err := parseCert(caPEM)
	if err != nil {
		return false
	}
	id.ca, id.caPEM = ca, caPEM
	cert, err := id.read(clientFile)
	if err != nil || !id.usable(cert, x509.ExtKeyUsageClientAuth) || cert.Leaf.Subject.CommonName != userName(id.cfg.Name) {
		return false
	}
	id.client = cert
	if serving, err := id.read(servingFile); err == nil && id.mayServe(serving.Leaf) {
		id.serving = serving
	}
	return true
}

// mayServe reports that a stored serving certificate is still good: in time,
// for the node's addresses, and not of the cluster's CA. The server takes
// nodes' certificates of another authority only, which a node need not know;
// the cluster's own signed them once.
func (id *Identity) mayServe(c *x509.Certificate) bool {
	now := id.cfg.Clock.Now()
	return !now.Before(c.NotBefore) && now.Before(c.NotAfter) && slices.Contains(c.ExtKeyUsage, x509.ExtKeyUsageServerAuth) &&
		c.CheckSignatureFrom(id.ca) != nil && id.covers(c)
}

func (id *Identity) usable(c *tls.Certificate, use x509.ExtKeyUsage) bool {
	_, err := c.Leaf.Verify(x509.VerifyOptions{Roots: id.CA(), KeyUsages: []x509.ExtKeyUsage{use}, CurrentTime: id.cfg.Clock.Now()})
	return err == nil
}

// covers reports whether a serving certificate is for the node's addresses.
func (id *Identity) covers(c *x509.Certificate) bool {
	for _, ip := range id.cfg.IPs {
		if c.VerifyHostname(ip.String()) != nil {
			return false
		}
	}
	return c.VerifyHostname(id.cfg.Name) == nil
}

// CA is the authority of the cluster: of the server, and of the callers of the
// node's own API.
func (id *Identity) CA() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(id.ca)
	return pool
}

// CAPEM is the authority's certificate.
func (id *Identity) CAPEM() []byte { return id.caPEM }

// REST is the way to the server with the node's identity. Connections take up
// a renewed certificate by themselves.
func (id *Identity) REST() *rest.Config {
	return &rest.Config{Host: id.cfg.Server, TLSClientConfig: rest.TLSClientConfig{
		CAData: id.caPEM, CertFile: id.file(clientFile), KeyFile: id.file(clientFile)}}
}

// Serving is the configuration of the node's own API. Handshakes fail until
// Run has obtained the certificate, which takes the node being registered.
func (id *Identity) Serving() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		id.mu.Lock()
		defer id.mu.Unlock()
		if id.serving == nil {
			return nil, errors.New("the node has no serving certificate yet")
		}
		return id.serving, nil
	}}
}

// Run obtains the serving certificate and renews certificates when most of
// their life is over, until ctx ends.
func (id *Identity) Run(ctx context.Context) error {
	retry := backoff.New(time.Second, time.Minute)
	for {
		next, err := id.renew(ctx)
		if ctx.Err() != nil {
			return nil
		}
		var wait time.Duration
		if err != nil {
			wait = retry.Failed(id.cfg.Log, "certificate not renewed", err)
		} else {
			retry.Succeeded(id.cfg.Log)
			wait = max(next.Sub(id.cfg.Clock.Now()), time.Second)
		}
		t := id.cfg.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C():
		}
	}
}

// renew asks for what is due, and returns when the next will be.
func (id *Identity) renew(ctx context.Context) (time.Time, error) {
	id.mu.Lock()
	client, serving := id.client, id.serving
	id.mu.Unlock()
	api, err := id.cfg.Client(id.REST())
	if err != nil {
		return time.Time{}, err
	}
	now := id.cfg.Clock.Now()
	if now.After(due(client.Leaf)) {
		if client, err = id.request(ctx, api, clientRequest(id.cfg.Name)); err != nil {
			return time.Time{}, err
		}
		if err := id.save(clientFile, client); err != nil {
			return time.Time{}, err
		}
		id.cfg.Log.Info("client certificate renewed", "until", client.Leaf.NotAfter)
	}
	if serving == nil || now.After(due(serving.Leaf)) {
		if serving, err = id.request(ctx, api, servingRequest(id.cfg.Name, id.cfg.IPs)); err != nil {
			return time.Time{}, err
		}
		if err := id.save(servingFile, serving); err != nil {
			return time.Time{}, err
		}
		id.cfg.Log.Info("serving certificate obtained", "until", serving.Leaf.NotAfter)
	}
	id.mu.Lock()
	id.client, id.serving = client, serving
	id.mu.Unlock()
	a, b := due(client.Leaf), due(serving.Leaf)
	if b.Before(a) {
		a = b
	}
	return a, nil
}

// due is when seven tenths of a certificate's life are over.
func due(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 7 / 10)
}
