package jointoken_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/internal/jointoken"
)

var hash = strings.Repeat("0123456789abcdef", 4)

func TestRoundTrip(t *testing.T) {
	tok, err := jointoken.New(hash)
	if err != nil {
		t.Fatal(err)
	}
	got, err := jointoken.Parse(" " + tok.Format() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got != tok {
		t.Errorf("parsed %v, want %v", got, tok)
	}
	if want := tok.ID + "." + tok.Secret; tok.Bearer() != want {
		t.Error("bearer is not id.secret")
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]string{
		"empty":          "",
		"no version":     "abcdef.0123456789abcdef." + hash,
		"other version":  "pk2.abcdef.0123456789abcdef." + hash,
		"short id":       "pk1.abcde.0123456789abcdef." + hash,
		"upper case":     "pk1.ABCDEF.0123456789abcdef." + hash,
		"short secret":   "pk1.abcdef.0123456789abcde." + hash,
		"short hash":     "pk1.abcdef.0123456789abcdef." + hash[1:],
		"hash no hex":    "pk1.abcdef.0123456789abcdef." + "g" + hash[1:],
		"one more":       "pk1.abcdef.0123456789abcdef." + hash + ".x",
		"newline inside": "pk1.abc\ndef.0123456789abcdef." + hash,
	}
	for name, in := range tests {
		t.Run(name, func(t *testing.T) {
			tok, err := jointoken.Parse(in)
			if err == nil {
				t.Fatalf("accepted as %v", tok)
			}
			if strings.Contains(err.Error(), "0123456789abcde") {
				t.Errorf("error tells the secret: %v", err)
			}
		})
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	tok, err := jointoken.New(hash)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(f, tok); strings.Contains(out, tok.Secret) {
			t.Errorf("%s prints the secret", f)
		}
	}
}

func TestNewRefusesABadHash(t *testing.T) {
	if _, err := jointoken.New("abc"); err == nil {
		t.Error("made a token without a CA hash")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("pk1.abcdef.0123456789abcdef." + hash)
	f.Add("pk1...")
	f.Add("....")
	f.Fuzz(func(t *testing.T, in string) {
		tok, err := jointoken.Parse(in)
		if err != nil {
			return
		}
		if got := tok.Format(); got != strings.TrimSpace(in) {
			t.Errorf("format of parse is %q, want %q", got, in)
		}
	})
}
