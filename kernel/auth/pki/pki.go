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
// atomically. Private keys leave this package as tls.Certificate, as crypto.Signer,
// as the PEM of a pair that was issued for somebody else, and as Keys, for what
// gives them to other servers.
//
// A PKI is safe for concurrent use.
package pki

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"os"
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
	// Keys are the cluster's; nil: those of Dir, which are made if they are
	// missing. What Dir lacks of them is written there.
	Keys *Keys
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
	frontProxy  *frontProxy
	keys        *Keys
	leaves      *leaves
}

// Open takes the cluster's keys, those of the directory unless others are given,
// makes those that are missing, and issues what this server needs.
func Open(cfg Config) (*PKI, error) {
	if cfg.Clock == nil {
		cfg.Clock = clock.RealClock{}
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	p := &PKI{cfg: cfg}
	if err := p.open(); err != nil {
		return nil, fmt.Errorf("pki: %w", err)
	}
	if err := p.Renew(); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *PKI) open() (err error) {
	if err := os.MkdirAll(p.cfg.Dir, 0o700); err != nil {
		return err
	}
	if p.keys = p.cfg.Keys; p.keys == nil {
		if p.keys, err = ReadKeys(p.cfg.Dir); err != nil {
			return err
		}
	}
	if missing := p.keys.Missing(); len(missing) > 0 {
		if err := p.keys.Complete(p.cfg.Clock.Now()); err != nil {
			return err
		}
		p.cfg.Log.Info("made keys of the cluster", "dir", p.cfg.Dir, "files", missing)
	}
	if err := p.keys.Save(p.cfg.Dir); err != nil {
		return err
	}
	if p.ca, err = newAuthority(clusterCA, p.keys.pairs[clusterCA], &p.cfg); err != nil {
		return err
	}
	if p.nodeServing, err = newAuthority(nodeServingCA, p.keys.pairs[nodeServingCA], &p.cfg); err != nil {
		return err
	}
	if p.frontProxy, err = deriveFrontProxy(p.ca); err != nil {
		return err
	}
	p.leaves = &leaves{cfg: &p.cfg, ca: p.ca, dir: directory(p.cfg.Dir), pairs: map[string]*Pair{}}
	return nil
}

// Renew makes or replaces the leaves that are missing, near their end, signed
// by another CA or lacking an address.
func (p *PKI) Renew() error { return p.leaves.renew() }

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

// CA is the same, parsed. The caller must not change it.
func (p *PKI) CA() *x509.Certificate { return p.ca.cert }

// Pool holds the CA's certificate alone.
func (p *PKI) Pool() *x509.CertPool {
	return p.ca.pool()
}

// ServiceAccountKey signs service-account tokens.
func (p *PKI) ServiceAccountKey() *ecdsa.PrivateKey { return p.keys.sa }

// Admin is the client certificate of the administrator (system:masters).
func (p *PKI) Admin() *Pair { return p.leaves.leaf(leafAdmin) }

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
			c := p.leaves.leaf(leafServing).TLS()
			c.Certificate = append(c.Certificate, p.ca.cert.Raw)
			return c, nil
		},
	}
}

// KubeletTLS is the API server's configuration towards node agents.
func (p *PKI) KubeletTLS() *tls.Config { return p.leaves.clientTLS(leafKubelet, p.nodeServing) }

// AdminTLS is the administrator's configuration towards the API server.
func (p *PKI) AdminTLS() *tls.Config { return p.leaves.clientTLS(leafAdmin, p.ca) }
