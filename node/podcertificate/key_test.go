package podcertificate

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"testing"
)

// TestKeys: each type that the API allows makes a key of that type, readable as
// PKCS #8, and an empty request that proves its possession.
func TestKeys(t *testing.T) {
	for _, want := range []string{"RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519"} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			key, err := newKey(want)
			if err != nil {
				t.Fatal(err)
			}
			text, err := encode(key)
			if err != nil {
				t.Fatal(err)
			}
			block, rest := pem.Decode(text)
			if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
				t.Fatalf("not one PRIVATE KEY: %s", text)
			}
			read, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			if got := typeOf(read.(crypto.Signer).Public()); got != want {
				t.Errorf("key: got %s", got)
			}
			der, err := proof(key)
			if err != nil {
				t.Fatal(err)
			}
			stub, err := x509.ParseCertificateRequest(der)
			if err != nil {
				t.Fatal(err)
			}
			if err := stub.CheckSignature(); err != nil || typeOf(stub.PublicKey) != want || stub.Subject.String() != "" || len(stub.Extensions) > 0 {
				t.Errorf("request: %v, key %s, subject %q, extensions %v", err, typeOf(stub.PublicKey), stub.Subject, stub.Extensions)
			}
		})
	}
	if _, err := newKey("DSA"); err == nil || err.Error() != `unknown key type "DSA"` {
		t.Errorf("got %v", err)
	}
}

func typeOf(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA%d", k.Size()*8)
	case *ecdsa.PublicKey:
		return fmt.Sprintf("ECDSAP%d", k.Curve.Params().BitSize)
	case ed25519.PublicKey:
		return "ED25519"
	}
	return fmt.Sprintf("%T", public)
}
