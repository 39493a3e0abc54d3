package cli

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/internal/jointoken"
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
	}, now)
	if err != nil {
		t.Fatal(err)
	}
	want := `ID      EXPIRES                NODES LEFT  JOINED
aaaaaa  in 24h0m0s             1           -
bbbbbb  expired                1           n1
cccccc  never                  any         -
dddddd  unreadable: not valid  1           -
`
	if d := cmp.Diff(want, out.String()); d != "" {
		t.Errorf("(-want +got)\n%s", d)
	}
}

// TestTokenIsNoArgument: a join token is read from a file, and only when it is
// needed.
func TestTokenIsNoArgument(t *testing.T) {
	if f := nodeCommand().Flags().Lookup("token"); f != nil {
		t.Error("--token shows the token to everybody who lists processes")
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
