package bootstrapsigner

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"regexp"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// Of Secrets of bootstrap tokens, and of the ConfigMap.
const (
	tokenType    = "bootstrap.kubernetes.io/token"
	kubeconfig   = "kubeconfig"
	signatureKey = "jws-kubeconfig-"
)

var secretName = regexp.MustCompile(`^bootstrap-token-([a-z0-9]{6})$`)

// token is the ID and the secret part by which a Secret signs; ok is false when it does
// not: it is of another form, has run out, or is not made for it. ends is when it will
// have run out, the zero time if never.
func token(s *corev1.Secret, now time.Time) (id, secret string, ends time.Time, ok bool) {
	name := secretName.FindStringSubmatch(s.Name)
	id, secret = string(s.Data["token-id"]), string(s.Data["token-secret"])
	if s.Type != tokenType || name == nil || name[1] != id || secret == "" || string(s.Data["usage-bootstrap-signing"]) != "true" {
		return "", "", time.Time{}, false
	}
	if text := string(s.Data["expiration"]); text != "" {
		var err error
		// A time that cannot be read is over, as upstream has it.
		if ends, err = time.Parse(time.RFC3339, text); err != nil || !now.Before(ends) {
			return "", "", time.Time{}, false
		}
	}
	return id, secret, ends, true
}

// sign is the JSON web signature, without its middle, of a text: RFC 7515, appendix F,
// with HMAC by the secret part of the token.
func sign(text, id, secret string) string {
	b64 := base64.RawURLEncoding
	header := b64.EncodeToString([]byte(`{"alg":"HS256","kid":"` + id + `"}`))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(header + "." + b64.EncodeToString([]byte(text))))
	return header + ".." + b64.EncodeToString(mac.Sum(nil))
}

// signed is what the ConfigMap is to say, and when the first of the signatures must be
// taken away; changed is false when it says so already.
func signed(data map[string]string, secrets []*corev1.Secret, now time.Time) (next map[string]string, ends time.Time, changed bool) {
	text, ok := data[kubeconfig]
	if !ok {
		return data, time.Time{}, false
	}
	next = make(map[string]string, len(data))
	for k, v := range data {
		if !strings.HasPrefix(k, signatureKey) {
			next[k] = v
		}
	}
	for _, s := range secrets {
		id, secret, end, ok := token(s, now)
		if !ok {
			continue
		}
		next[signatureKey+id] = sign(text, id, secret)
		if !end.IsZero() && (ends.IsZero() || end.Before(ends)) {
			ends = end
		}
	}
	changed = len(next) != len(data)
	for k, v := range next {
		changed = changed || data[k] != v
	}
	return next, ends, changed
}
