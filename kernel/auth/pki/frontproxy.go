package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"math/big"
	"sync"
)

// FrontProxyUser is the name in the certificate by which this server tells extension
// API servers that it says who asks. Nobody else's word counts there.
const FrontProxyUser = "front-proxy-client"

// frontProxy is the authority of the certificates with which a server speaks to
// extension API servers, and such a certificate. It must not be the cluster's: whoever
// has a client certificate of the cluster must not be taken for the server.
type frontProxy struct {
	*authority

	mu   sync.Mutex
	leaf *Pair // guarded by mu
}

// deriveFrontProxy makes the authority out of the cluster's: the same key and the same
// certificate on every server, byte for byte.
//
// RATIONALE.md: "Why is the front proxy's authority derived?"
func deriveFrontProxy(from *authority) (*frontProxy, error) {
	secret, err := x509.MarshalPKCS8PrivateKey(from.key)
	if err != nil {
		return nil, err
	}
	// 48 bytes, so that what the remainder prefers cannot be told (FIPS 186-5, A.2.1).
	raw, err := hkdf.Key(sha256.New, secret, nil, "pintle front-proxy-ca v1", 48)
	if err != nil {
		return nil, err
	}
	n := elliptic.P256().Params().N
	d := new(big.Int).SetBytes(raw)
	d.Mod(d, new(big.Int).Sub(n, big.NewInt(1))).Add(d, big.NewInt(1))
	key, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), d.FillBytes(make([]byte, 32)))
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "front-proxy-ca"},
		NotBefore:             from.cert.NotBefore,
		NotAfter:              from.cert.NotAfter,
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	// Without a source of randomness the signature is RFC 6979's.
	der, err := x509.CreateCertificate(nil, t, t, key.Public(), deterministic{key})
	if err != nil {
		return nil, fmt.Errorf("front proxy: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &frontProxy{authority: &authority{cert: cert, pem: encodeCert(cert), key: key, clock: from.clock}}, nil
}

// deterministic signs the same with the same each time.
type deterministic struct{ *ecdsa.PrivateKey }

// Sign implements crypto.Signer.
func (d deterministic) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	return d.PrivateKey.Sign(nil, digest, o)
}

// current is the certificate, another one when it comes near its end.
func (f *frontProxy) current() (*tls.Certificate, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.leaf == nil || f.clock.Now().Add(RenewBefore).After(f.leaf.Certificate.NotAfter) {
		leaf, err := f.issue(Leaf{CommonName: FrontProxyUser, Client: true})
		if err != nil {
			return nil, err
		}
		f.leaf = leaf
	}
	return f.leaf.TLS(), nil
}

// FrontProxyCAPEM is the certificate by which extension API servers know that it is
// the API server that says who asks.
func (p *PKI) FrontProxyCAPEM() []byte { return p.frontProxy.pem }

// FrontProxyTLS is the API server's configuration towards extension API servers. Whom
// it trusts there the caller adds to a copy.
func (p *PKI) FrontProxyTLS() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return p.frontProxy.current()
		},
	}
}
