// Package jointoken is the text by which a node joins: a bootstrap token and
// the hash of the cluster's CA, so that the node can tell the right server
// from a stranger before it sends the token.
//
//	pk1.abcdef.0123456789abcdef.<64 hex digits>
//
// Servers have tokens of another form, which open the cluster's keys; see
// [Server].
//
// Everything here is pure; the secret part is never part of an error.
package jointoken

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
)

// Token is a parsed join token.
type Token struct {
	ID     string // six characters, public: part of the Secret's name
	Secret string // sixteen characters
	// CAHash is the SHA-256 of the CA's public key info, in hex.
	CAHash string
}

const version = "pk1"

var (
	idPattern     = regexp.MustCompile(`^[a-z0-9]{6}$`)
	secretPattern = regexp.MustCompile(`^[a-z0-9]{16}$`)
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// New makes a token of random letters for a CA.
func New(caHash string) (Token, error) {
	id, err := random(6)
	if err != nil {
		return Token{}, err
	}
	secret, err := random(16)
	if err != nil {
		return Token{}, err
	}
	t := Token{ID: id, Secret: secret, CAHash: caHash}
	return t, t.validate()
}

func random(n int) (string, error) {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789"
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(letters))))
		if err != nil {
			return "", fmt.Errorf("join token: %w", err)
		}
		b[i] = letters[k.Int64()]
	}
	return string(b), nil
}

// Parse reads a token.
func Parse(s string) (Token, error) {
	parts := strings.Split(strings.TrimSpace(s), ".")
	if parts[0] == serverVersion {
		return Token{}, errors.New("join token: this is one of a server (" + serverVersion + "), with which a node does not join")
	}
	if len(parts) != 4 || parts[0] != version {
		return Token{}, errors.New("join token: not of the form " + version + ".<id>.<secret>.<hash>")
	}
	t := Token{ID: parts[1], Secret: parts[2], CAHash: parts[3]}
	return t, t.validate()
}

func (t Token) validate() error {
	switch {
	case !idPattern.MatchString(t.ID):
		return errors.New("join token: the ID must be six letters or digits")
	case !secretPattern.MatchString(t.Secret):
		return errors.New("join token: the secret must be sixteen letters or digits")
	case !hashPattern.MatchString(t.CAHash):
		return errors.New("join token: the CA hash must be 64 hex digits")
	}
	return nil
}

// Format writes the whole token, secret included.
func (t Token) Format() string {
	return strings.Join([]string{version, t.ID, t.Secret, t.CAHash}, ".")
}

// Bearer is what the node sends to the server.
func (t Token) Bearer() string { return t.ID + "." + t.Secret }

// String hides the secret: a token may end up in a log.
func (t Token) String() string { return version + "." + t.ID + ".****************." + t.CAHash }

// GoString hides the secret from %#v as well.
func (t Token) GoString() string { return t.String() }

// HashCA is the hash of a CA certificate.
func HashCA(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

// Matches reports that a certificate is the CA's that the token names.
func (t Token) Matches(c *x509.Certificate) bool {
	return subtle.ConstantTimeCompare([]byte(HashCA(c)), []byte(t.CAHash)) == 1
}

var _ fmt.Stringer = Token{}
