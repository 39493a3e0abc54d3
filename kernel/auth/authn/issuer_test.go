package authn_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// issuer is an OpenID Connect provider with one key at a time.
type issuer struct {
	*httptest.Server
	mu   sync.Mutex
	key  *ecdsa.PrivateKey
	id   int
	keys http.HandlerFunc // instead of the key set, when it is not nil
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	i := &issuer{}
	i.rotate(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, r *http.Request) {
		i.mu.Lock()
		key, id, instead := i.key, i.id, i.keys
		i.mu.Unlock()
		if instead != nil {
			instead(w, r)
			return
		}
		point, err := key.PublicKey.Bytes()
		if err != nil {
			panic(err)
		}
		b64 := base64.RawURLEncoding.EncodeToString
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"use": "sig", "kty": "EC", "crv": "P-256", "alg": "ES256", "kid": fmt.Sprint(id), "x": b64(point[1:33]), "y": b64(point[33:])}}})
	})
	i.Server = httptest.NewTLSServer(mux)
	t.Cleanup(i.Close)
	return i
}

// rotate makes a new key; the old one is no longer told.
func (i *issuer) rotate(t *testing.T) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.id = key, i.id+1
}

// answer makes the key set something else.
func (i *issuer) answer(h http.HandlerFunc) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = h
}

func (i *issuer) caPEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.Certificate().Raw}))
}

// config is the issuer's part of an AuthenticationConfiguration, with more lines of it.
func (i *issuer) config(more string) string {
	ca := strings.ReplaceAll(strings.TrimSpace(i.caPEM()), "\n", "\n      ")
	return fmt.Sprintf("- issuer:\n    url: %s\n    certificateAuthority: |\n      %s\n%s", i.URL, ca, more)
}

// claims of a good token for audience "pintle", changed.
func (i *issuer) claims(changed jwt.MapClaims) jwt.MapClaims {
	c := jwt.MapClaims{"iss": i.URL, "aud": "pintle", "sub": "ann", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, changed)
	return c
}

// token signs.
func (i *issuer) token(t *testing.T, changed jwt.MapClaims) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	return signed(t, jwt.SigningMethodES256, i.key, fmt.Sprint(i.id), i.claims(changed))
}

func signed(t *testing.T, m jwt.SigningMethod, key any, id string, c jwt.MapClaims) string {
	t.Helper()
	j := jwt.NewWithClaims(m, c)
	j.Header["kid"] = id
	s, err := j.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}
