package pki

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

const (
	certType = "CERTIFICATE"
	keyType  = "PRIVATE KEY"
)

func encodeCert(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: certType, Bytes: c.Raw})
}

func encodeKey(k crypto.Signer) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: keyType, Bytes: der}), nil
}

func decodeCert(data []byte) (*x509.Certificate, error) {
	b, _ := pem.Decode(data)
	if b == nil || b.Type != certType {
		return nil, errors.New("no certificate in PEM")
	}
	return x509.ParseCertificate(b.Bytes)
}

func decodeKey(data []byte) (crypto.Signer, error) {
	b, _ := pem.Decode(data)
	if b == nil {
		return nil, errors.New("no key in PEM")
	}
	if b.Type == "EC PRIVATE KEY" {
		return x509.ParseECPrivateKey(b.Bytes)
	}
	k, err := x509.ParsePKCS8PrivateKey(b.Bytes)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("key of type %T cannot sign", k)
	}
	return s, nil
}

// directory holds the files of the keys.
type directory string

func (d directory) file(name string) string { return filepath.Join(string(d), name) }

// write replaces a file whole; only its owner may read it.
func (d directory) write(name string, data []byte) error {
	return atomicfile.Write(d.file(name), data, 0o600)
}

func (d directory) loadPair(name string) (*Pair, error) {
	certPEM, err := os.ReadFile(d.file(name + ".crt"))
	if err != nil {
		return nil, err
	}
	keyPEM, err := os.ReadFile(d.file(name + ".key"))
	if err != nil {
		return nil, err
	}
	return parsePair(name, certPEM, keyPEM)
}

func parsePair(name string, certPEM, keyPEM []byte) (*Pair, error) {
	cert, err := decodeCert(certPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", name, err)
	}
	key, err := decodeKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", name, err)
	}
	if !samePublic(cert.PublicKey, key.Public()) {
		return nil, fmt.Errorf("%s.crt and %s.key do not belong together", name, name)
	}
	return &Pair{Certificate: cert, CertPEM: certPEM, KeyPEM: keyPEM, key: key}, nil
}

func samePublic(a, b crypto.PublicKey) bool {
	eq, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && eq.Equal(b)
}

// savePair writes the key first: a certificate without its key is not read,
// a key without its certificate is replaced.
func (d directory) savePair(name string, pair *Pair) error {
	// A pair that is half replaced would not be read after a crash.
	if err := os.Remove(d.file(name + ".crt")); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := d.write(name+".key", pair.KeyPEM); err != nil {
		return err
	}
	return d.write(name+".crt", pair.CertPEM)
}
