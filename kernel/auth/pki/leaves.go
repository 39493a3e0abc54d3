package pki

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"sync"
)

// The leaves that a PKI keeps.
const (
	leafServing = "apiserver"
	leafAdmin   = "admin"
	leafKubelet = "apiserver-kubelet-client"
)

// leaves are the certificates that a PKI keeps for its own cluster, of one
// authority. It is safe for concurrent use.
type leaves struct {
	cfg *Config
	ca  *authority
	dir directory

	mu    sync.RWMutex
	pairs map[string]*Pair // guarded by mu; by file name
}

// wanted are the leaves and what they must say.
func (l *leaves) wanted() map[string]Leaf {
	return map[string]Leaf{
		leafServing: {CommonName: "kube-apiserver", DNSNames: l.servingNames(), IPs: l.servingIPs(), Server: true},
		leafAdmin:   {CommonName: "kubernetes-admin", Organizations: []string{"system:masters"}, Client: true},
		leafKubelet: {CommonName: "kube-apiserver-kubelet-client", Organizations: []string{"system:masters"}, Client: true},
	}
}

func (l *leaves) servingNames() []string {
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"}
	return append(names, l.cfg.DNSNames...)
}

func (l *leaves) servingIPs() []net.IP {
	return append([]net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, l.cfg.IPs...)
}

// renew makes or replaces the leaves that are missing, near their end, signed
// by another CA or lacking an address.
func (l *leaves) renew() error {
	for name, leaf := range l.wanted() {
		if err := l.renewLeaf(name, leaf); err != nil {
			return fmt.Errorf("pki: %s: %w", name, err)
		}
	}
	return nil
}

func (l *leaves) renewLeaf(name string, want Leaf) error {
	l.mu.RLock()
	pair := l.pairs[name]
	l.mu.RUnlock()
	if pair == nil {
		var err error
		var file *fs.PathError
		switch pair, err = l.dir.loadPair(name); {
		case err == nil, errors.Is(err, fs.ErrNotExist):
		case errors.As(err, &file):
			return err
		default: // it is read by nobody else, and another is as good
			l.cfg.Log.Warn("a certificate of this server is damaged, another is issued", "name", name, "error", err)
		}
	}
	if pair == nil || l.stale(pair.Certificate, want) {
		l.cfg.Log.Info("issuing certificate", "name", name)
		var err error
		if pair, err = l.ca.issue(want); err != nil {
			return err
		}
		if err := l.dir.savePair(name, pair); err != nil {
			return err
		}
	}
	l.mu.Lock()
	l.pairs[name] = pair
	l.mu.Unlock()
	return nil
}

func (l *leaves) stale(c *x509.Certificate, want Leaf) bool {
	if l.cfg.Clock.Now().Add(RenewBefore).After(c.NotAfter) || c.CheckSignatureFrom(l.ca.cert) != nil {
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

func (l *leaves) leaf(name string) *Pair {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.pairs[name]
}

func (l *leaves) clientTLS(name string, server *authority) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    server.pool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return l.leaf(name).TLS(), nil
		},
	}
}
