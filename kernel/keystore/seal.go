package keystore

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/auth/pki"
)

// sealed is a copy of the cluster's keys that one token opens. What is not in Box
// is readable, and none of it can be changed without the token.
type sealed struct {
	Version int       `json:"version"`
	ID      string    `json:"id"` // the token's
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"` // zero: never
	Salt    []byte    `json:"salt"`             // of the derivation, new for each copy
	Box     []byte    `json:"box"`              // nonce, ciphertext, tag; of files by name, in JSON
}

// sealVersion is the version of the form above and of the derivation.
const sealVersion = 1

// errNotOpened: the token's secret is not the one that the copy was sealed with,
// or the copy was changed.
var errNotOpened = errors.New("the secret does not open the keys")

// seal makes the copy of keys for a token.
func seal(t jointoken.Server, k *pki.Keys, created, expires time.Time) (*sealed, error) {
	s := &sealed{Version: sealVersion, ID: t.ID, Created: created.UTC().Truncate(time.Second), Salt: make([]byte, 32)}
	if !expires.IsZero() {
		s.Expires = expires.UTC().Truncate(time.Second)
	}
	if _, err := rand.Read(s.Salt); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(k.Files())
	if err != nil {
		return nil, err
	}
	aead, err := s.aead(t)
	if err != nil {
		return nil, err
	}
	s.Box = aead.Seal(nil, nil, plain, s.associated())
	return s, nil
}

// open reads the keys of a copy.
//
// # Errors
//   - errNotOpened
func (s *sealed) open(t jointoken.Server) (*pki.Keys, error) {
	if s.Version != sealVersion {
		return nil, fmt.Errorf("the keys are sealed in version %d, this server knows %d: all servers must be of one version", s.Version, sealVersion)
	}
	aead, err := s.aead(t)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nil, s.Box, s.associated())
	if err != nil {
		return nil, errNotOpened
	}
	var files map[string][]byte
	if err := json.Unmarshal(plain, &files); err != nil {
		return nil, fmt.Errorf("sealed keys: %w", err)
	}
	return pki.ParseKeys(files)
}

// aead derives the key. The secret is random and long, so no slow function is
// needed to make guessing expensive.
func (s *sealed) aead(t jointoken.Server) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, t.Secret, s.Salt, "pintle server token: keys of the cluster", 32)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// associated is what a copy says in the open: it is authenticated, so that who
// writes the store cannot make a token last longer or stand under another's ID.
func (s *sealed) associated() []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n%d\n%d", Prefix, s.Version, s.ID, s.Created.Unix(), s.Expires.Unix())
}
