package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
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

	// Request, when it is set, says all of the above but the lifetime, with Usages.
	Request *x509.CertificateRequest
	Usages  Usages
}

// Usages are what the key of a certificate may be used for.
type Usages struct {
	Key x509.KeyUsage
	Ext []x509.ExtKeyUsage
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

// Issue makes a key and a certificate of the cluster's CA for it.
func (p *PKI) Issue(l Leaf) (*Pair, error) { return p.ca.issue(l) }

// IssueNodeClient makes the client certificate of a node's agent.
func (p *PKI) IssueNodeClient(node string) (*Pair, error) {
	return p.Issue(Leaf{CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}, Client: true})
}

// IssueNodeServing makes the serving certificate of a node's agent.
func (p *PKI) IssueNodeServing(node string, ips []net.IP) (*Pair, error) {
	return p.nodeServing.issue(Leaf{CommonName: "system:node:" + node, Organizations: []string{"system:nodes"}, DNSNames: []string{node}, IPs: ips, Server: true})
}

// Sign makes a certificate of the cluster's CA for a public key that somebody
// else holds.
func (p *PKI) Sign(l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	return p.ca.sign(l, pub)
}

// SignNodeServing makes a certificate by which a node's agent serves its own
// API. Nobody but the API server trusts its CA.
func (p *PKI) SignNodeServing(l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	return p.nodeServing.sign(l, pub)
}

// CAHash is the SHA-256 of the CA's public key info, in hex: what a node that
// joins compares the server with.
func (p *PKI) CAHash() string { return p.ca.hash() }

// PEM is a certificate in PEM.
func PEM(c *x509.Certificate) []byte { return encodeCert(c) }

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
