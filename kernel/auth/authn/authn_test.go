package authn_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/kerneltest"
)

const header = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n"

func write(t *testing.T, path, text string) string {
	t.Helper()
	if path == "" {
		path = filepath.Join(t.TempDir(), "config")
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// start runs a server; change says what is configured.
func start(t *testing.T, change func(*authn.Options)) *kerneltest.Server {
	t.Helper()
	o := authn.DefaultOptions()
	change(&o)
	return kerneltest.Start(t, kerneltest.Options{Config: func(c *kernel.Config) { c.Authentication = &o }})
}

// whoami asks the server as whom it knows a client.
func whoami(t *testing.T, cfg *rest.Config) (authenticationv1.UserInfo, error) {
	t.Helper()
	r, err := kerneltest.Client(t, cfg).AuthenticationV1().SelfSubjectReviews().Create(t.Context(), &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return authenticationv1.UserInfo{}, err
	}
	return r.Status.UserInfo, nil
}

// eventually waits until a client is known by a name; "" is not at all.
func eventually(t *testing.T, cfg *rest.Config, name string) {
	t.Helper()
	var u authenticationv1.UserInfo
	var err error
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		u, err = whoami(t, cfg)
		if err == nil && u.Username == name || name == "" && apierrors.IsUnauthorized(err) {
			return
		}
	}
	t.Fatalf("the client is %q (%v), want %q", u.Username, err, name)
}

func metric(t *testing.T, s *kerneltest.Server, prefix string) (out []string) {
	t.Helper()
	resp, err := s.HTTP().Get(s.URL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, prefix) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// TestIssuer: what a token of an issuer must be, and which user it becomes by
// expressions over its claims.
func TestIssuer(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, func(o *authn.Options) {
		o.ConfigFile = write(t, "", header+"jwt:\n"+i.config(`    audiences: [pintle, other]
    audienceMatchPolicy: MatchAny
  claimValidationRules:
  - expression: '!has(claims.hd) || claims.hd == "example.com"'
    message: hd must be example.com
  claimMappings:
    username: {expression: 'has(claims.login) ? claims.login : "oidc:" + claims.sub'}
    groups: {expression: 'claims.?org.?roles.orValue([]).map(r, "oidc:" + r)'}
    uid: {expression: 'has(claims.org) ? claims.org.id : ""'}
    extra:
    - {key: example.com/tenant, valueExpression: 'claims.?org.?tenant.orValue("")'}
  userValidationRules:
  - expression: "!user.username.startsWith('system:')"
    message: username cannot use the reserved system prefix
`))
	})
	eventually(t, s.Bearer(i.token(t, nil)), "oidc:ann")
	u, err := whoami(t, s.Bearer(i.token(t, jwt.MapClaims{"org": map[string]any{"id": "7", "tenant": "t1", "roles": []string{"dev", "ops"}}})))
	if err != nil || u.UID != "7" || !slices.Equal(u.Extra["example.com/tenant"], []string{"t1"}) || !slices.Equal(u.Groups, []string{"oidc:dev", "oidc:ops", "system:authenticated"}) {
		t.Errorf("nested claims: %+v, %v", u, err)
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		token string
		user  string // "" is refused
	}{
		"second audience":      {i.token(t, jwt.MapClaims{"aud": []string{"x", "other"}}), "oidc:ann"},
		"wrong audience":       {i.token(t, jwt.MapClaims{"aud": "x"}), ""},
		"expired":              {i.token(t, jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), ""},
		"no expiry":            {i.token(t, jwt.MapClaims{"exp": nil}), ""},
		"another issuer":       {i.token(t, jwt.MapClaims{"iss": "https://elsewhere.example"}), ""},
		"claim that is wrong":  {i.token(t, jwt.MapClaims{"hd": "example.org"}), ""},
		"claim that is right":  {i.token(t, jwt.MapClaims{"hd": "example.com"}), "oidc:ann"},
		"claim of a bad type":  {i.token(t, jwt.MapClaims{"org": "flat"}), ""},
		"system user":          {i.token(t, jwt.MapClaims{"login": "system:admin"}), ""},
		"user without a name":  {i.token(t, jwt.MapClaims{"login": ""}), ""},
		"signed by a stranger": {signed(t, jwt.SigningMethodES256, stranger, "1", i.claims(nil)), ""},
		"not signed":           {signed(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "1", i.claims(nil)), ""},
		"signed by a secret":   {signed(t, jwt.SigningMethodHS256, []byte(i.caPEM()), "1", i.claims(nil)), ""},
		"no token":             {"a.b.c", ""},
	} {
		t.Run(name, func(t *testing.T) {
			u, err := whoami(t, s.Bearer(tc.token))
			if tc.user == "" && !apierrors.IsUnauthorized(err) || tc.user != "" && (err != nil || u.Username != tc.user) {
				t.Errorf("the user is %q (%v), want %q", u.Username, err, tc.user)
			}
		})
	}
}

// TestOIDCFlags: one issuer, named by flags.
func TestOIDCFlags(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	s := start(t, func(o *authn.Options) {
		o.OIDC.IssuerURL, o.OIDC.ClientID, o.OIDC.CAFile = i.URL, "pintle", write(t, "", i.caPEM())
		o.OIDC.SigningAlgs, o.OIDC.GroupsClaim, o.OIDC.GroupsPrefix = []string{"ES256"}, "groups", "g:"
		o.OIDC.RequiredClaims = map[string]string{"hd": "example.com"}
	})
	good := jwt.MapClaims{"hd": "example.com", "groups": []string{"dev"}}
	eventually(t, s.Bearer(i.token(t, good)), i.URL+"#ann")
	if u, err := whoami(t, s.Bearer(i.token(t, good))); err != nil || !slices.Contains(u.Groups, "g:dev") {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := whoami(t, s.Bearer(i.token(t, nil))); !apierrors.IsUnauthorized(err) {
		t.Errorf("without the required claim: %v", err)
	}
}

// TestIssuerMisbehaves: keys that are new are found; what an issuer answers without an
// end, or never, is no key, and nobody else waits for it.
func TestIssuerMisbehaves(t *testing.T) {
	t.Parallel()
	i, silent := newIssuer(t), newIssuer(t)
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	s := start(t, func(o *authn.Options) {
		rest := "    audiences: [pintle]\n  claimMappings: {username: {claim: sub, prefix: ''}}\n"
		o.ConfigFile = write(t, "", header+"jwt:\n"+i.config(rest)+silent.config(rest))
	})
	eventually(t, s.Bearer(i.token(t, nil)), "ann")
	i.rotate(t)
	eventually(t, s.Bearer(i.token(t, jwt.MapClaims{"sub": "bob"})), "bob")

	i.answer(func(w http.ResponseWriter, _ *http.Request) { // beyond all bounds
		_, _ = io.WriteString(w, `{"keys":[`)
		for range 1 << 14 {
			if _, err := io.WriteString(w, strings.Repeat(`{"kty":"oct","k":"AA"},`, 100)); err != nil {
				return
			}
		}
		_, _ = io.WriteString(w, `{"kty":"oct","k":"AA"}]}`)
	})
	known := i.token(t, jwt.MapClaims{"sub": "cid"})
	i.rotate(t)
	if _, err := whoami(t, s.Bearer(i.token(t, nil))); !apierrors.IsUnauthorized(err) {
		t.Errorf("a token by a key in a huge set: %v", err)
	}
	if u, err := whoami(t, s.Bearer(known)); err != nil || u.Username != "cid" {
		t.Errorf("a token by a key that is known already: %q, %v", u.Username, err)
	}
	silent.answer(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for range 20 {
		go func() { _, _ = ask(ctx, s, silent.token(t, nil)) }()
	}
	if u, err := whoami(t, s.User(t, "dot")); err != nil || u.Username != "dot" {
		t.Errorf("a certificate beside a silent issuer: %q, %v", u.Username, err)
	}
	if u, err := whoami(t, s.Bearer(known)); err != nil || u.Username != "cid" {
		t.Errorf("another issuer beside a silent one: %q, %v", u.Username, err)
	}
}

func ask(ctx context.Context, s *kerneltest.Server, token string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/api", nil)
	if err != nil {
		return 0, err
	}
	r.Header.Set("Authorization", "Bearer "+token)
	resp, err := s.HTTP().Do(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// TestReload: the file is followed; what is wrong in it changes nothing, and is told.
func TestReload(t *testing.T) {
	t.Parallel()
	first, second := newIssuer(t), newIssuer(t)
	rest := "    audiences: [pintle]\n  claimMappings: {username: {claim: sub, prefix: '%s'}}\n"
	file := write(t, "", header+"jwt:\n"+first.config(fmt.Sprintf(rest, "1:")))
	s := start(t, func(o *authn.Options) { o.ConfigFile = file })
	eventually(t, s.Bearer(first.token(t, nil)), "1:ann")

	const reloads, failure, success = "apiserver_authentication_config_controller_automatic_reloads_total{", `status="failure"} `, `status="success"} `
	told := func(status string) bool {
		return slices.ContainsFunc(metric(t, s, reloads), func(l string) bool { return strings.Contains(l, status) })
	}
	write(t, file, header+"jwt:\n"+first.config("    audience: [pintle]\n"))
	for end := time.Now().Add(40 * time.Second); !told(failure); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("a broken file is not told: %v", metric(t, s, reloads))
		}
	}
	eventually(t, s.Bearer(first.token(t, jwt.MapClaims{"jti": "2"})), "1:ann")

	write(t, file, header+"jwt:\n"+second.config(fmt.Sprintf(rest, "2:")))
	eventually(t, s.Bearer(second.token(t, nil)), "2:ann")
	eventually(t, s.Bearer(first.token(t, nil)), "")
	for end := time.Now().Add(40 * time.Second); !told(success); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("that a file is taken is not told: %v", metric(t, s, reloads))
		}
	}
	if info := metric(t, s, "apiserver_authentication_config_controller_last_config_info{"); len(info) != 1 || !strings.Contains(info[0], `hash="sha256:`) {
		t.Errorf("what is in force: %v", info)
	}
}

// TestAnonymous: without credentials some paths alone are served.
func TestAnonymous(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *authn.Options) {
		o.ConfigFile = write(t, "", header+"anonymous: {enabled: true, conditions: [{path: /livez}, {path: /readyz}]}\n")
	})
	for path, want := range map[string]int{"/livez": 200, "/readyz": 200, "/healthz": 401, "/livez/ping": 401, "/version": 401} {
		rt, err := rest.TransportFor(s.Bearer(""))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := (&http.Client{Transport: rt}).Get(s.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
	}
}

// TestTokenFile: users of a file of tokens, who are known beside all others.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	s := start(t, func(o *authn.Options) { o.TokenFile = write(t, "", "secret,ann,7,\"dev,ops\"\n") })
	u, err := whoami(t, s.Bearer("secret"))
	if err != nil || u.Username != "ann" || u.UID != "7" || !slices.Equal(u.Groups, []string{"dev", "ops", "system:authenticated"}) {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := whoami(t, s.Bearer("other")); !apierrors.IsUnauthorized(err) {
		t.Errorf("another token: %v", err)
	}
}

// TestOpenRefuses: what is wrong is named, at the start.
func TestOpenRefuses(t *testing.T) {
	const issuer = "https://issuer.example"
	jwtOf := func(fields string) string { return header + "jwt:\n- " + fields + "\n" }
	no := false
	for name, tc := range map[string]struct {
		change func(*authn.Options)
		file   string
		want   []string
	}{
		"no file":            {func(o *authn.Options) { o.ConfigFile = "/no/such/file" }, "", []string{"--authentication-config", "/no/such/file"}},
		"empty":              {nil, "\n", []string{"is empty"}},
		"no YAML":            {nil, "{{", []string{"--authentication-config"}},
		"another kind":       {nil, "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources: []\n", []string{"AuthenticationConfiguration"}},
		"unknown field":      {nil, jwtOf("isuer: {}"), []string{`unknown field "jwt[0].isuer"`}},
		"http":               {nil, jwtOf("{issuer: {url: 'http://x', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}"), []string{"jwt[0].issuer.url", "https"}},
		"no audience":        {nil, jwtOf("{issuer: {url: 'https://x'}, claimMappings: {username: {claim: sub, prefix: ''}}}"), []string{"jwt[0].issuer.audiences"}},
		"two without policy": {nil, jwtOf("{issuer: {url: 'https://x', audiences: [a, b]}, claimMappings: {username: {claim: sub, prefix: ''}}}"), []string{"jwt[0].issuer.audienceMatchPolicy", "MatchAny"}},
		"our own issuer":     {nil, jwtOf("{issuer: {url: 'https://ours.example', audiences: [a]}, claimMappings: {username: {claim: sub, prefix: ''}}}"), []string{"jwt[0].issuer.url", "disallowed"}},
		"bad expression":     {nil, jwtOf("{issuer: {url: 'https://x', audiences: [a]}, claimMappings: {username: {expression: 'claims.'}}}"), []string{"jwt[0].claimMappings.username.expression"}},
		"egress":             {nil, jwtOf("{issuer: {url: 'https://x', audiences: [a], egressSelectorType: cluster}, claimMappings: {username: {claim: sub, prefix: ''}}}"), []string{"jwt[0].issuer.egressSelectorType", "leave the field out"}},
		"file and flags":     {func(o *authn.Options) { o.OIDC.IssuerURL, o.OIDC.ClientID = issuer, "x" }, header, []string{"--authentication-config", "--oidc-"}},
		"anonymous twice":    {func(o *authn.Options) { o.Anonymous = &no }, header + "anonymous: {enabled: true}\n", []string{"anonymous", "--anonymous-auth"}},
		"no client":          {func(o *authn.Options) { o.OIDC.IssuerURL = issuer }, "", []string{"--oidc-client-id"}},
		"no issuer":          {func(o *authn.Options) { o.OIDC.GroupsClaim = "g" }, "", []string{"--oidc-issuer-url"}},
		"algorithm": {func(o *authn.Options) {
			o.OIDC.IssuerURL, o.OIDC.ClientID, o.OIDC.SigningAlgs = issuer, "x", []string{"none"}
		}, "", []string{"--oidc-signing-algs", "RS256"}},
		"webhook's version": {func(o *authn.Options) { o.Webhook.ConfigFile, o.Webhook.Version = "x", "v2" }, "", []string{"--authentication-token-webhook-version", "v1beta1"}},
		"webhook's file":    {func(o *authn.Options) { o.Webhook.ConfigFile = "/no/such/file" }, "", []string{"--authentication-token-webhook-config-file", "/no/such/file"}},
		"headers of nobody": {func(o *authn.Options) { o.Header.UsernameHeaders = []string{"X-Remote-User"} }, "", []string{"--requestheader-client-ca-file"}},
		"proxy's CA": {func(o *authn.Options) {
			o.Header.ClientCAFile, o.Header.UsernameHeaders = "/no/such/file", []string{"X"}
		}, "", []string{"--requestheader-client-ca-file", "/no/such/file"}},
		"token file": {func(o *authn.Options) { o.TokenFile = "/no/such/file" }, "", []string{"--token-auth-file", "/no/such/file"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := authn.DefaultOptions()
			if tc.file != "" {
				o.ConfigFile = write(t, "", tc.file)
			}
			if tc.change != nil {
				tc.change(&o)
			}
			a, err := authn.Open(authn.Config{Options: o, Issuers: []string{"https://ours.example"}, Log: slog.New(slog.DiscardHandler)})
			if err == nil {
				_ = a.Close()
				t.Fatal("it is taken")
			}
			for _, w := range tc.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%v\ndoes not say %q", err, w)
				}
			}
		})
	}
}
