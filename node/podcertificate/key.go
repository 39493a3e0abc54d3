package podcertificate

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	certificatesv1 "k8s.io/api/certificates/v1"
)

// newKey makes a key of a type that the API allows.
func newKey(keyType string) (crypto.Signer, error) {
	switch keyType {
	case "RSA3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "RSA4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	case "ECDSAP256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ECDSAP384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ECDSAP521":
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "ED25519":
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("unknown key type %q", keyType)
}

// proof is an empty PKCS #10 request (RFC 2986), which shows the public key and
// that whoever asks has the other one.
func proof(key crypto.Signer) ([]byte, error) {
	return x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
}

// encode is a key as the pod reads it: PKCS #8 (RFC 5958) in PEM.
func encode(key crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// maxChain bounds a certificate chain as it is written, in bytes; the API's.
const maxChain = 100 << 10

// usable returns the chain of an answer without what stands between its
// certificates. The API server checks answers; what it lets through must not
// bring the agent down or a pod into trouble all the same.
//
// # Errors
//
// When the answer says no times, or when its first certificate is not for the
// key.
func usable(s *certificatesv1.PodCertificateRequestStatus, public crypto.PublicKey) ([]byte, error) {
	switch {
	case s.BeginRefreshAt == nil || s.NotAfter == nil:
		return nil, errors.New("the signer's answer lacks beginRefreshAt or notAfter")
	case len(s.CertificateChain) > maxChain:
		return nil, fmt.Errorf("the signer's certificate chain has %d bytes, more than %d", len(s.CertificateChain), maxChain)
	}
	var out bytes.Buffer
	for block, rest := pem.Decode([]byte(s.CertificateChain)); block != nil; block, rest = pem.Decode(rest) {
		if out.Len() == 0 {
			if err := certifies(block.Bytes, public); err != nil {
				return nil, err
			}
		}
		out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	}
	if out.Len() == 0 {
		return nil, errors.New("the signer's answer has no certificate")
	}
	return out.Bytes(), nil
}

// certifies checks that a certificate is for a key.
func certifies(der []byte, public crypto.PublicKey) error {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("the signer's certificate: %w", err)
	}
	own, ok := public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !own.Equal(leaf.PublicKey) {
		return errors.New("the signer's certificate is for another key")
	}
	return nil
}
