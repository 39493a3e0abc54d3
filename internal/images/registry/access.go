package registry

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
)

// PushCheck says whether whoever brings this token may push and delete images.
// It is asked for each such request, by several goroutines.
// RATIONALE.md: "Why do registry clients bring a Kubernetes token?"
type PushCheck func(ctx context.Context, token string) (bool, error)

// access decides who may do what: anybody reads, which is what nodes do; whoever
// brings a token that check accepts writes. Clients are told how by the token
// protocol of Docker's registry, which all of them speak: they get a token for
// a name and a password, and the password is the token.
type access struct {
	check PushCheck
	slots chan struct{} // bounds questions at a time
}

func newAccess(check PushCheck, atATime int) *access {
	if check == nil {
		check = func(context.Context, string) (bool, error) { return false, nil }
	}
	return &access{check: check, slots: make(chan struct{}, atATime)}
}

// tokenPath is where clients trade a password for a token.
const tokenPath = "/v2/token"

// anonymous is the token of those who bring no password. It is good for
// nothing that they may not do without.
const anonymous = "anonymous"

var (
	errNoToken = fault{http.StatusUnauthorized, "UNAUTHORIZED",
		"pushing and deleting take a token: `pintle image push` brings one; docker login takes it as the password (docs/images.md says how to make it)"}
	errBadToken = fault{http.StatusUnauthorized, "UNAUTHORIZED",
		"the token is not accepted: it has expired, is another cluster's, or its owner may not push images (verb push on images.pintle.dev)"}
)

// write checks that a request may change something.
func (a *access) write(req *http.Request) error {
	token := credential(req)
	if token == "" || token == anonymous {
		return errNoToken
	}
	return a.ask(req.Context(), token)
}

func (a *access) ask(ctx context.Context, token string) error {
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ok, err := a.check(ctx, token)
	switch {
	case err != nil:
		return fault{http.StatusServiceUnavailable, "UNAVAILABLE", "cannot tell whether the token may push: " + err.Error()}
	case !ok:
		return errBadToken
	}
	return nil
}

// credential is the token that a request brings: as such, or as a password.
func credential(req *http.Request) string {
	if _, password, ok := req.BasicAuth(); ok {
		return password
	}
	scheme, token, _ := strings.Cut(req.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}

// challenge tells a client where tokens are had.
func challenge(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="http://`+req.Host+tokenPath+`",service="pintle"`)
}

// issue answers a client that wants a token.
func (a *access) issue(w http.ResponseWriter, req *http.Request) error {
	if req.Method != http.MethodGet {
		// Clients that try OAuth first then come with GET.
		return fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "ask for a token with GET"}
	}
	token := anonymous
	if _, password, ok := req.BasicAuth(); ok && password != "" {
		if err := a.ask(req.Context(), password); err != nil {
			return err
		}
		token = password
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(map[string]string{"token": token, "access_token": token}) // the client is gone when this fails
	return nil
}
