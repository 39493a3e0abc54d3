package selection

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strings"
)

// token is upstream's continue token: the revision of the list and the key to
// go on from, relative to the listed prefix.
type token struct {
	Version  string `json:"v"`
	Revision int64  `json:"rv"`
	Start    string `json:"start"`
}

const (
	tokenVersion = "meta.k8s.io/v1"
	// maxTokenBytes is the largest token looked at.
	maxTokenBytes = 8 << 10
)

var errToken = errors.New("continue key is not valid")

// EncodeToken makes a token that goes on behind key.
func EncodeToken(key, prefix string, revision int64) string {
	b, err := json.Marshal(token{tokenVersion, revision, strings.TrimPrefix(key, prefix) + "\x00"})
	if err != nil {
		return "" // a struct of strings and a number always encodes
	}
	return base64.RawURLEncoding.EncodeToString(b)
}

// DecodeToken gives the key to go on at or behind, and the revision; -1 asks
// for the present state.
func DecodeToken(s, prefix string) (start string, revision int64, err error) {
	if len(s) > maxTokenBytes {
		return "", 0, errToken
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	var t token
	if err := json.Unmarshal(b, &t); err != nil {
		return "", 0, fmt.Errorf("%w: %w", errToken, err)
	}
	switch {
	case t.Version != tokenVersion:
		return "", 0, fmt.Errorf("%w: server does not recognize this encoded version %v", errToken, t.Version)
	case t.Revision == 0:
		return "", 0, fmt.Errorf("%w: incorrect encoded start resourceVersion (version %s)", errToken, tokenVersion)
	case t.Start == "":
		return "", 0, fmt.Errorf("%w: encoded start key empty (version %s)", errToken, tokenVersion)
	}
	key := t.Start
	if !strings.HasPrefix(key, "/") {
		key = "/" + key
	}
	if path.Clean(key) != key {
		return "", 0, fmt.Errorf("%w: %v", errToken, t.Start)
	}
	return prefix + key[1:], t.Revision, nil
}
