package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"math/big"
	"net"
	"time"
)

// Leaf is what a certificate says.
type Leaf struct {
	CommonName    string   // the user, for clients
	Organizations []string // the groups
	DNSNames      []string
	IPs           []net.IP
	Client        bool
	Server        bool
	Lifetime      time.Duration // 0 means LeafLifetime
}

// Pair is a certificate and its key.
type Pair struct {
	Certificate *x509.Certificate
	CertPEM     []byte
	KeyPEM      []byte
	key         crypto.Signer
}

// TLS is the pair as crypto/tls wants it.
func (p *Pair) TLS() *tls.Certificate {
	return &tls.Certificate{Certificate: [][]byte{p.Certificate.Raw}, PrivateKey: p.key, Leaf: p.Certificate}
}

// clockSkew lets certificates begin before they are issued, for nodes whose
// clocks lag.
const clockSkew = 5 * time.Minute

// Issue makes a key and a certificate of the cluster's CA for it.
func (p *PKI) Issue(l Leaf) (*Pair, error) { return p.issue(p.ca, l) }

func (p *PKI) issue(by *authority, l Leaf) (*Pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := p.sign(by, l, key.Public())
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{Certificate: cert, CertPEM: encodeCert(cert), KeyPEM: keyPEM, key: key}, nil
}

// IssueNodeClient makes the client certificate of a node's agent.
func (p *PKI) IssueNodeClient(node string) (*Pair, error) {
	return p.Issue(Leaf{CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}, Client: true})
}

// IssueNodeServing makes the serving certificate of a node's agent.
func (p *PKI) IssueNodeServing(node string, ips []net.IP) (*Pair, error) {
	return p.issue(p.nodeServing, Leaf{CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}, DNSNames: []string{node}, IPs: ips, Server: true})
}

// Sign makes a certificate of the cluster's CA for a public key that somebody
// else holds.
func (p *PKI) Sign(l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	return p.sign(p.ca, l, pub)
}

// SignNodeServing makes a certificate by which a node's agent serves its own
// API. Nobody but the API server trusts its CA.
func (p *PKI) SignNodeServing(l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	return p.sign(p.nodeServing, l, pub)
}

func (p *PKI) sign(by *authority, l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := p.cfg.Clock.Now()
	lifetime := l.Lifetime
	if lifetime == 0 {
		lifetime = LeafLifetime
	}
	end := now.Add(lifetime)
	if end.After(by.cert.NotAfter) {
		end = by.cert.NotAfter
	}
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: l.CommonName, Organization: l.Organizations},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		DNSNames:              l.DNSNames,
		IPAddresses:           l.IPs,
	}
	if l.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if l.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	der, err := x509.CreateCertificate(rand.Reader, t, by.cert, pub, by.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %q: %w", l.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// CAHash is the SHA-256 of the CA's public key info, in hex: what a node that
// joins compares the server with.
func (p *PKI) CAHash() string {
	sum := sha256.Sum256(p.ca.cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// PEM is a certificate in PEM.
func PEM(c *x509.Certificate) []byte { return encodeCert(c) }

func (p *PKI) newCA(commonName string, key crypto.Signer) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := p.cfg.Clock.Now()
	t := &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{CommonName: commonName},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(CALifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make CA: %w", err)
	}
	return x509.ParseCertificate(der)
}

func newKey() (*ecdsa.PrivateKey, error) {
	return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
}

func newSerial() (*big.Int, error) {
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	return n.Add(n, big.NewInt(1)), nil
}
