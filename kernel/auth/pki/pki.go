// Package pki is the cluster's certificate authority. At first start it makes
// what a control plane needs: the CA, the API server's serving certificate,
// client certificates of the administrator and of the server towards node
// agents, and the key that signs service-account tokens. Later it loads them
// and renews leaves that are near their end.
//
// What node agents serve with is signed by a second CA, which only the API
// server trusts: whatever a node gets certified there, no client of the API
// takes it for the API server.
//
// Keys are ECDSA P-256. Every file is readable by its owner only and replaced
// atomically. Private keys never leave this package but as tls.Certificate,
// crypto.Signer, or the PEM of a pair that was issued for somebody else.
//
// A PKI is safe for concurrent use.
package pki

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// How long certificates last, and how long before their end leaves are
// renewed.
const (
	CALifetime   = 10 * 365 * 24 * time.Hour
	LeafLifetime = 365 * 24 * time.Hour
	RenewBefore  = 60 * 24 * time.Hour
)

// checkEvery is how often Run looks at the leaves.
const checkEvery = 12 * time.Hour

// Config says where the files are and whom they are for.
type Config struct {
	// Dir holds the files; it is made if it is missing.
	Dir string
	// DNSNames and IPs are the addresses of the API server. Names of the
	// kubernetes Service and localhost are added. A serving certificate that
	// lacks one of them is issued anew.
	DNSNames []string
	IPs      []net.IP
	Clock    clock.WithTicker // nil is the real clock
	Log      *slog.Logger     // nil discards
}

// PKI holds the cluster's keys.
type PKI struct {
	cfg         Config
	ca          *authority // of the API server and of everybody's client certificates
	nodeServing *authority // of what node agents serve with
	saKey       *ecdsa.PrivateKey
	mu          sync.RWMutex
	leaves      map[string]*Pair // guarded by mu; by file name
}

// authority is one CA.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// The files of the authorities.
const (
	clusterCA     = "ca"
	nodeServingCA = "kubelet-serving-ca"
)

// The leaves that a PKI keeps.
const (
	leafServing = "apiserver"
	leafAdmin   = "admin"
	leafKubelet = "apiserver-kubelet-client"
)

// Open loads the files of a directory and makes those that are missing.
func Open(cfg Config) (*PKI, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	p := &PKI{cfg: cfg, leaves: map[string]*Pair{}}
	var err error
	if p.ca, err = p.openAuthority(clusterCA, "kubernetes"); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if p.nodeServing, err = p.openAuthority(nodeServingCA, "kubernetes-kubelet-serving"); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if err := p.openServiceAccountKey(); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if err := p.Renew(); err != nil {
		return nil, err
	}
	return p, nil
}

// wanted are the leaves and what they must say.
func (p *PKI) wanted() map[string]Leaf {
	return map[string]Leaf{
		leafServing: {CommonName: "kube-apiserver", DNSNames: p.servingNames(), IPs: p.servingIPs(), Server: true},
		leafAdmin:   {CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Client: true},
		leafKubelet: {CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}, Client: true},
	}
}

func (p *PKI) servingNames() []string {
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"}
	return append(names, p.cfg.DNSNames...)
}

func (p *PKI) servingIPs() []net.IP {
	return append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, p.cfg.IPs...)
}

// Renew makes or replaces the leaves that are missing, near their end, signed
// by another CA or lacking an address.
func (p *PKI) Renew() error {
	for name, leaf := range p.wanted() {
		if err := p.renewLeaf(name, leaf); err != nil {
			return fmt.Errorf("pki: %s: %w", name, err)
		}
	}
	return nil
}

func (p *PKI) renewLeaf(name string, leaf Leaf) error {
	p.mu.RLock()
	pair := p.leaves[name]
	p.mu.RUnlock()
	if pair == nil {
		var err error
		if pair, err = p.loadPair(name); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	if pair == nil || p.stale(pair.Certificate, leaf) {
		p.cfg.Log.Info("issuing certificate", "name", name)
		var err error
		if pair, err = p.Issue(leaf); err != nil {
			return err
		}
		if err := p.savePair(name, pair); err != nil {
			return err
		}
	}
	p.mu.Lock()
	p.leaves[name] = pair
	p.mu.Unlock()
	return nil
}

func (p *PKI) stale(c *x509.Certificate, want Leaf) bool {
	if p.cfg.Clock.Now().Add(RenewBefore).After(c.NotAfter) || c.CheckSignatureFrom(p.ca.cert) != nil {
		return true
	}
	for _, n := range want.DNSNames {
		if c.VerifyHostname(n) != nil {
			return true
		}
	}
	for _, ip := range want.IPs {
		if c.VerifyHostname(ip.String()) != nil {
			return true
		}
	}
	return c.Subject.CommonName != want.CommonName
}

// Run renews leaves until ctx ends. Servers and clients made from this PKI
// pick renewed certificates up by themselves.
func (p *PKI) Run(ctx context.Context) error {
	t := p.cfg.Clock.NewTicker(checkEvery)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C():
			if err := p.Renew(); err != nil {
				p.cfg.Log.Error("renewing certificates", "error", err)
			}
		}
	}
}

// CAPEM is the CA's certificate.
func (p *PKI) CAPEM() []byte { return p.ca.pem }

// Pool holds the CA's certificate alone.
func (p *PKI) Pool() *x509.CertPool {
	return p.ca.pool()
}

// ServiceAccountKey signs service-account tokens.
func (p *PKI) ServiceAccountKey() *ecdsa.PrivateKey { return p.saKey }

// Admin is the client certificate of the administrator (system:masters).
func (p *PKI) Admin() *Pair { return p.leaf(leafAdmin) }

func (p *PKI) leaf(name string) *Pair {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.leaves[name]
}

// ServerTLS is the API server's configuration. It asks for client certificates
// and leaves their verification to the authenticator, so that a bad one is
// answered with 401 instead of a broken handshake.
func (p *PKI) ServerTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"h2", "http/1.1"},
		ClientAuth: tls.RequestClientCert,
		ClientCAs:  p.Pool(),
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			// The CA goes along: a node that joins knows only its hash.
			c := p.leaf(leafServing).TLS()
			c.Certificate = append(c.Certificate, p.ca.cert.Raw)
			return c, nil
		},
	}
}

// KubeletTLS is the API server's configuration towards node agents.
func (p *PKI) KubeletTLS() *tls.Config { return p.clientTLS(leafKubelet, p.nodeServing) }

// AdminTLS is the administrator's configuration towards the API server.
func (p *PKI) AdminTLS() *tls.Config { return p.clientTLS(leafAdmin, p.ca) }

func (p *PKI) clientTLS(name string, server *authority) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    server.pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return p.leaf(name).TLS(), nil
		},
	}
}
