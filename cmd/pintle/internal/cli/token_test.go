package cli

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/kernel/keystore"
)

func TestPrintTokens(t *testing.T) {
	now := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	secret := func(id, end string, l jointoken.Ledger) corev1.Secret {
		s := corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: jointoken.SecretPrefix + id, Annotations: map[string]string{}},
			Data: map[string][]byte{"token-secret": []byte("0123456789abcdef")}}
		if end != "" {
			s.Data["expiration"] = []byte(end)
		}
		l.Write(s.Annotations)
		return s
	}
	var out strings.Builder
	err := printTokens(&out, []corev1.Secret{
		secret("aaaaaa", "2026-07-02T12:00:00Z", jointoken.Ledger{Uses: 1}),
		secret("bbbbbb", "2026-07-01T11:00:00Z", jointoken.Ledger{Uses: 2, Joined: []jointoken.Join{{Node: "n1", Request: "u1"}}}),
		secret("cccccc", "", jointoken.Ledger{}),
		secret("dddddd", "soon", jointoken.Ledger{Uses: 1}),
	}, []keystore.Info{{ID: "eeeeeeee", Created: now, Expires: now.Add(time.Hour)}, {ID: "ffffffff", Created: now}, {ID: "gggggggg", Damaged: true}}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := `ID        FOR      EXPIRES                NODES LEFT  JOINED
aaaaaa    nodes    in 24h0m0s             1           -
bbbbbb    nodes    expired                1           n1
cccccc    nodes    never                  any         -
dddddd    nodes    unreadable: not valid  1           -
eeeeeeee  servers  in 1h0m0s              -           -
ffffffff  servers  never                  -           -
gggggggg  servers  damaged: not valid     -           -
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestTokenIsNoArgument: a join token is read from a file, and only when it is
// needed.
func TestTokenIsNoArgument(t *testing.T) {
	for _, cmd := range []*cobra.Command{nodeCommand(), serverCommand(), upCommand()} {
		if f := cmd.Flags().Lookup("token"); f != nil {
			t.Errorf("%s: --token shows the token to everybody who lists processes", cmd.Name())
		}
		if f := cmd.Flags().Lookup("token-file"); f == nil && cmd.Name() != "up" {
			t.Errorf("%s: no --token-file", cmd.Name())
		}
	}
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "good"), filepath.Join(dir, "bad")
	tok, err := jointoken.New(strings.Repeat("0a", 32))
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]string{good: tok.Format() + "\n", bad: "pk1.abcdef.0123456789abcdef"} {
		if err := os.WriteFile(name, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := (&nodeFlags{tokenFile: good}).token()(); err != nil || strings.TrimSpace(got) != tok.Format() {
		t.Errorf("got %q, %v", got, err)
	}
	for _, name := range []string{bad, filepath.Join(dir, "missing")} {
		_, err := (&nodeFlags{tokenFile: name}).token()()
		if err == nil || !strings.Contains(err.Error(), "--token-file") || strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: got %v, want an error that names the flag and no secret", filepath.Base(name), err)
		}
	}
	if (&nodeFlags{}).token() != nil {
		t.Error("a token from nowhere")
	}
}

// TestListServerTokens: what a server has is listed; one that is too old to have
// any has none, and every other failure is told.
func TestListServerTokens(t *testing.T) {
	for what, x := range map[string]struct {
		code int
		body string
		want []string
		fail string
	}{
		"tokens":      {200, `[{"id":"eeeeeeee"},{"id":"ffffffff"}]`, []string{"eeeeeeee", "ffffffff"}, ""},
		"none":        {200, `[]`, nil, ""},
		"too old":     {404, "404 page not found\n", nil, ""},
		"not allowed": {403, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"Forbidden","message":"it is forbidden","code":403}`, nil, "forbidden"},
		"no store":    {503, "the store is away", nil, "the store is away"},
	} {
		t.Run(what, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.URL.Path != keystore.TokensPath {
					t.Errorf("%s %s", r.Method, r.URL)
				}
				w.WriteHeader(x.code)
				_, _ = w.Write([]byte(x.body))
			}))
			t.Cleanup(s.Close)
			l, err := listServerTokens(t.Context(), &rest.Config{Host: s.URL})
			if x.fail == "" && err != nil || x.fail != "" && (err == nil || !strings.Contains(err.Error(), x.fail)) {
				t.Errorf("got the error %v, want %q", err, x.fail)
			}
			var got []string
			for _, i := range l {
				got = append(got, i.ID)
			}
			if d := cmp.Diff(x.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

// TestServerTokenIsNoArgument: the command that is printed reads the token from
// its standard input.
func TestServerTokenIsNoArgument(t *testing.T) {
	tok, err := jointoken.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	for _, endpoints := range [][]string{nil, {"http://10.0.0.5:2379", "http://10.0.0.6:2379"}} {
		var out, hints strings.Builder
		printServerToken(&keystore.Created{Token: tok.Format(), EtcdEndpoints: endpoints}, &out, &hints)
		command, _, _ := strings.Cut(out.String(), "\n")
		if strings.Contains(command, tok.Format()) || !strings.Contains(command, "--token-file -") || !strings.Contains(out.String(), tok.Format()) {
			t.Errorf("got %q", out.String())
		}
		for _, e := range endpoints {
			if !strings.Contains(command, "--etcd-endpoints "+e) {
				t.Errorf("%q does not name %s", command, e)
			}
		}
		if hints.Len() == 0 || strings.Contains(hints.String(), tok.Format()) {
			t.Errorf("hints: %q", hints.String())
		}
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "token")
	if err := os.WriteFile(file, []byte(tok.Format()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := (&serverFlags{tokenFile: file}).token()(); err != nil || got != tok.Format() {
		t.Errorf("got %q, %v", got, err)
	}
	if (&serverFlags{}).token() != nil {
		t.Error("a token from nowhere")
	}
}

// TestJoinAddress: the command for another machine has an address that the other
// machine reaches, if there is one.
func TestJoinAddress(t *testing.T) {
	port := int32(6443)
	slice := func(addresses ...string) discoveryv1.EndpointSlice {
		s := discoveryv1.EndpointSlice{Ports: []discoveryv1.EndpointPort{{Port: &port}}}
		for _, a := range addresses {
			s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
		}
		return s
	}
	for name, c := range map[string]struct {
		host   string
		slice  discoveryv1.EndpointSlice
		want   string
		others []string
	}{
		"reached by another address": {"https://192.0.2.9:6443", slice("192.0.2.7"), "https://192.0.2.9:6443", nil},
		"the server has one":         {"https://127.0.0.1:6443", slice("192.0.2.7"), "https://192.0.2.7:6443", nil},
		"of version 6":               {"https://[::1]:6443", slice("2001:db8::7"), "https://[2001:db8::7]:6443", nil},
		"several servers":            {"https://localhost:6443", slice("192.0.2.8", "192.0.2.7"), "https://192.0.2.7:6443", []string{"https://192.0.2.8:6443"}},
		"the pods' own":              {"https://127.0.0.1:6443", slice(serve.LocalAPI.String()), "https://127.0.0.1:6443", nil},
		"none":                       {"https://127.0.0.1:6443", slice(), "https://127.0.0.1:6443", nil},
	} {
		got, others := joinAddress(c.host, &discoveryv1.EndpointSliceList{Items: []discoveryv1.EndpointSlice{c.slice}})
		if got != c.want || !slices.Equal(others, c.others) {
			t.Errorf("%s: %s %v, want %s %v", name, got, others, c.want, c.others)
		}
	}
}
