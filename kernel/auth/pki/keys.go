package pki

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"
)

// Keys are what all servers of a cluster have in common: the two authorities, and
// the key that signs service-account tokens. All other certificates a server
// makes for itself. Some of the keys may be missing; see Missing.
//
// They are not safe for concurrent use while Complete or Merge changes them.
type Keys struct {
	pairs  map[string]*Pair // of authorities, by name
	halves map[string]half
	sa     *ecdsa.PrivateKey
	saPEM  []byte
}

// half is what there is of an authority that lacks its key or its certificate.
type half struct {
	public []byte // the key, as certificates have it
	there  string // the end of its file's name
	lacks  string
}

// The authorities by the names of their files, and what their certificates say.
const (
	clusterCA     = "ca"
	nodeServingCA = "kubelet-serving-ca"
	saKeyFile     = "sa.key"
)

var authorityNames = map[string]string{clusterCA: "kubernetes", nodeServingCA: "kubernetes-kubelet-serving"}

// keyFiles are the files of Keys.
func keyFiles() []string {
	out := []string{saKeyFile}
	for name := range authorityNames {
		out = append(out, name+".crt", name+".key")
	}
	return out
}

// ReadKeys reads the keys of a directory, as far as they are there.
func ReadKeys(dir string) (*Keys, error) {
	files, d := map[string][]byte{}, directory(dir)
	for _, name := range keyFiles() {
		b, err := os.ReadFile(d.file(name))
		switch {
		case err == nil:
			files[name] = b
		case !errors.Is(err, os.ErrNotExist):
			return nil, err
		}
	}
	return ParseKeys(files)
}

// ParseKeys reads keys from files in PEM, by name. Files that are none of theirs
// are an error.
func ParseKeys(files map[string][]byte) (*Keys, error) {
	k := &Keys{pairs: map[string]*Pair{}, halves: map[string]half{}}
	for name := range files {
		if !slices.Contains(keyFiles(), name) {
			return nil, fmt.Errorf("%q is no file of the cluster's keys", name)
		}
	}
	for name := range authorityNames {
		if err := k.parseAuthority(name, files[name+".crt"], files[name+".key"]); err != nil {
			return nil, err
		}
	}
	if b := files[saKeyFile]; b != nil {
		if err := k.parseServiceAccountKey(b); err != nil {
			return nil, fmt.Errorf("%s: %w", saKeyFile, err)
		}
	}
	return k, nil
}

// parseAuthority takes a pair in. A half was in use: what makes pairs stages them
// whole before.
func (k *Keys) parseAuthority(name string, certPEM, keyPEM []byte) error {
	switch {
	case certPEM == nil && keyPEM == nil:
		return nil
	case keyPEM == nil:
		cert, err := decodeCert(certPEM)
		if err != nil {
			return fmt.Errorf("%s.crt: %w", name, err)
		}
		k.halves[name] = half{public: cert.RawSubjectPublicKeyInfo, there: ".crt", lacks: ".key"}
		return nil
	case certPEM == nil:
		key, err := decodeKey(keyPEM)
		var public []byte
		if err == nil {
			public, err = x509.MarshalPKIXPublicKey(key.Public())
		}
		if err != nil {
			return fmt.Errorf("%s.key: %w", name, err)
		}
		k.halves[name] = half{public: public, there: ".key", lacks: ".crt"}
		return nil
	}
	pair, err := parsePair(name, certPEM, keyPEM)
	if err != nil {
		return err
	}
	if !pair.Certificate.IsCA {
		return fmt.Errorf("%s.crt is no certificate of an authority", name)
	}
	k.pairs[name] = pair
	return nil
}

func (k *Keys) parseServiceAccountKey(b []byte) error {
	key, err := decodeKey(b)
	if err != nil {
		return err
	}
	ec, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return fmt.Errorf("a %T, not an ECDSA key", key)
	}
	k.sa, k.saPEM = ec, b
	return nil
}

// Missing names the files that are missing, in order.
func (k *Keys) Missing() []string {
	var out []string
	for name := range authorityNames {
		if k.pairs[name] != nil {
			continue
		}
		if h, ok := k.halves[name]; ok {
			out = append(out, name+h.lacks)
			continue
		}
		out = append(out, name+".key", name+".crt")
	}
	if k.sa == nil {
		out = append(out, saKeyFile)
	}
	slices.Sort(out)
	return out
}

// Empty reports that there is no key at all, nor a certificate.
func (k *Keys) Empty() bool { return len(k.pairs) == 0 && len(k.halves) == 0 && k.sa == nil }

// Complete makes the keys that are missing.
//
// # Errors
//   - a certificate without its key, or a key without its certificate: a new
//     authority would cut off every node and client of the old one
func (k *Keys) Complete(now time.Time) error {
	for name, commonName := range authorityNames {
		if k.pairs[name] != nil {
			continue
		}
		if h, ok := k.halves[name]; ok {
			return fmt.Errorf("%[1]s%[2]s exists but %[1]s%[3]s does not: put that back from a backup, or move the other away too, which begins with a new authority that no node and no client of the old one trusts",
				name, h.there, h.lacks)
		}
		pair, err := makeAuthority(commonName, now)
		if err != nil {
			return err
		}
		k.pairs[name] = pair
	}
	if k.sa != nil {
		return nil
	}
	key, err := newKey()
	if err != nil {
		return err
	}
	k.sa = key
	k.saPEM, err = encodeKey(key)
	return err
}

// Merge takes what is missing from other keys, which Match.
func (k *Keys) Merge(other *Keys) {
	for name, pair := range other.pairs {
		if k.pairs[name] == nil {
			k.pairs[name] = pair
			delete(k.halves, name)
		}
	}
	if k.sa == nil {
		k.sa, k.saPEM = other.sa, other.saPEM
	}
}

// Fingerprints are the SHA-256 of the public keys, in hex, by name; of those that
// are there, halves of pairs included. They are no secret.
func (k *Keys) Fingerprints() map[string]string {
	out := map[string]string{}
	sum := func(name string, spki []byte) {
		h := sha256.Sum256(spki)
		out[name] = hex.EncodeToString(h[:])
	}
	for name, pair := range k.pairs {
		sum(name, pair.Certificate.RawSubjectPublicKeyInfo)
	}
	for name, h := range k.halves {
		sum(name, h.public)
	}
	if k.sa != nil {
		// It never fails for a key on a curve that this package reads.
		spki, _ := x509.MarshalPKIXPublicKey(k.sa.Public())
		sum("sa", spki)
	}
	return out
}

// Files are the keys in PEM, by the names of their files: everything that makes
// somebody the owner of the cluster.
func (k *Keys) Files() map[string][]byte {
	out := map[string][]byte{}
	for name, pair := range k.pairs {
		out[name+".crt"], out[name+".key"] = pair.CertPEM, pair.KeyPEM
	}
	if k.sa != nil {
		out[saKeyFile] = k.saPEM
	}
	return out
}

// Save writes to a directory what it does not hold yet.
func (k *Keys) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	d := directory(dir)
	for _, name := range slices.Sorted(maps.Keys(k.pairs)) {
		pair := k.pairs[name]
		if d.holds(name+".crt", pair.CertPEM) && d.holds(name+".key", pair.KeyPEM) {
			continue
		}
		if err := d.savePair(name, pair); err != nil {
			return err
		}
	}
	if k.sa == nil || d.holds(saKeyFile, k.saPEM) {
		return nil
	}
	return d.write(saKeyFile, k.saPEM)
}

// holds reports that a file has this content.
func (d directory) holds(name string, data []byte) bool {
	b, err := os.ReadFile(d.file(name))
	return err == nil && bytes.Equal(b, data)
}
