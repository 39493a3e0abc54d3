package jointoken_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/internal/jointoken"
)

func TestServerToken(t *testing.T) {
	tok, err := jointoken.NewServer()
	if err != nil {
		t.Fatal(err)
	}
	got, err := jointoken.ParseServer(tok.Format() + "\n")
	if err != nil || !cmp.Equal(got, tok) {
		t.Errorf("parsed %v, %v; want %v", got, err, tok)
	}
	for _, f := range []string{"%v", "%+v", "%#v", "%s"} {
		if out := fmt.Sprintf(f, tok); strings.Contains(out, hex.EncodeToString(tok.Secret)) || strings.Contains(out, fmt.Sprint(tok.Secret)) {
			t.Errorf("%s prints the secret", f)
		}
	}
}

func TestParseServerRefuses(t *testing.T) {
	for name, in := range map[string]string{
		"empty":         "",
		"other version": "ps2.abcdefgh." + hash,
		"short id":      "ps1.abcdefg." + hash,
		"slash in id":   "ps1.abcdef/h." + hash,
		"short secret":  "ps1.abcdefgh." + hash[1:],
		"one more":      "ps1.abcdefgh." + hash + ".x",
		"a node's":      "pk1.abcdef.0123456789abcdef." + hash,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := jointoken.ParseServer(in)
			if err == nil {
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), "0123456789abcde") {
				t.Errorf("error tells the secret: %v", err)
			}
			if name == "a node's" && !strings.Contains(err.Error(), "node") {
				t.Errorf("%v does not say what the token is", err)
			}
		})
	}
	if _, err := jointoken.Parse("ps1.abcdefgh." + hash); err == nil || !strings.Contains(err.Error(), "server") {
		t.Errorf("%v does not say what the token is", err)
	}
}
