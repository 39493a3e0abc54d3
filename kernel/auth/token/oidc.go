package token

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"sort"
)

// Discovery is the OpenID configuration of the issuer, so that others can
// verify tokens. jwksURI is where they find the keys.
func (a *Authority) Discovery(jwksURI string) ([]byte, error) {
	return json.Marshal(map[string]any{
		"issuer":                                a.cfg.Issuer,
		"jwks_uri":                              jwksURI,
		"response_types_supported":              []string{"id_token"},
		"subject_types_supported":               []string{"public"},
		"id_token_signing_alg_values_supported": []string{a.method.Alg()},
	})
}

type jwk struct {
	Use string `json:"use"`
	Kty string `json:"kty"`
	Kid string `json:"kid"`
	Crv string `json:"crv"`
	Alg string `json:"alg"`
	X   string `json:"x"`
	Y   string `json:"y"`
}

// JWKS are the public keys that verify tokens.
func (a *Authority) JWKS() ([]byte, error) {
	keys := []jwk{}
	for id, k := range a.public {
		point, err := k.Bytes() // 4, then x and y
		if err != nil {
			return nil, fmt.Errorf("jwks: %w", err)
		}
		n := (len(point) - 1) / 2
		keys = append(keys, jwk{Use: "sig", Kty: "EC", Kid: id, Crv: "P-256", Alg: a.method.Alg(),
			X: base64.RawURLEncoding.EncodeToString(point[1 : 1+n]),
			Y: base64.RawURLEncoding.EncodeToString(point[1+n:])})
	}
	sort.Slice(keys, func(i, j int) bool {
		return (keys[i].Kid == a.keyID) != (keys[j].Kid == a.keyID) && keys[i].Kid == a.keyID
	})
	return json.Marshal(map[string]any{"keys": keys})
}
