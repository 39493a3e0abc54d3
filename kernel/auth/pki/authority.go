package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"fmt"
	"time"

	"k8s.io/utils/clock"
)

// authority is one CA.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer

	clock clock.Clock
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// clockSkew lets certificates begin before they are issued, for nodes whose
// clocks lag.
const clockSkew = 5 * time.Minute

// newAuthority makes a CA of its certificate and key.
func newAuthority(name string, pair *Pair, c *Config) (*authority, error) {
	if now := c.Clock.Now(); now.After(pair.Certificate.NotAfter) {
		return nil, fmt.Errorf("%s.crt expired at %s", name, pair.Certificate.NotAfter)
	}
	return &authority{cert: pair.Certificate, pem: pair.CertPEM, key: pair.key, clock: c.Clock}, nil
}

// makeAuthority makes the certificate and key of a new CA.
func makeAuthority(commonName string, now time.Time) (*Pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := newCA(commonName, key, now)
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{Certificate: cert, CertPEM: encodeCert(cert), KeyPEM: keyPEM, key: key}, nil
}

func newCA(commonName string, key crypto.Signer, now time.Time) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
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

// issue makes a key and a certificate for it.
func (a *authority) issue(l Leaf) (*Pair, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	cert, err := a.sign(l, key.Public())
	if err != nil {
		return nil, err
	}
	keyPEM, err := encodeKey(key)
	if err != nil {
		return nil, err
	}
	return &Pair{Certificate: cert, CertPEM: encodeCert(cert), KeyPEM: keyPEM, key: key}, nil
}

// sign makes a certificate for a public key. It does not outlast the
// authority's own.
func (a *authority) sign(l Leaf, pub crypto.PublicKey) (*x509.Certificate, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := a.clock.Now()
	lifetime := l.Lifetime
	if lifetime == 0 {
		lifetime = LeafLifetime
	}
	end := now.Add(lifetime)
	if end.After(a.cert.NotAfter) {
		end = a.cert.NotAfter
	}
	t := l.template()
	t.SerialNumber, t.NotBefore, t.NotAfter, t.BasicConstraintsValid = serial, now.Add(-clockSkew), end, true
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of %q: %w", t.Subject.CommonName, err)
	}
	return x509.ParseCertificate(der)
}

// template is what a leaf says of itself. Of a request the extensions are left out, but
// for the names.
func (l *Leaf) template() *x509.Certificate {
	if r := l.Request; r != nil {
		return &x509.Certificate{Subject: r.Subject, DNSNames: r.DNSNames, IPAddresses: r.IPAddresses, EmailAddresses: r.EmailAddresses, URIs: r.URIs,
			KeyUsage: l.Usages.Key, ExtKeyUsage: l.Usages.Ext}
	}
	t := &x509.Certificate{Subject: pkix.Name{CommonName: l.CommonName, Organization: l.Organizations}, DNSNames: l.DNSNames, IPAddresses: l.IPs,
		KeyUsage: x509.KeyUsageDigitalSignature}
	if l.Client {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageClientAuth)
	}
	if l.Server {
		t.ExtKeyUsage = append(t.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	return t
}

// hash is the SHA-256 of the public key info, in hex.
func (a *authority) hash() string {
	sum := sha256.Sum256(a.cert.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}
