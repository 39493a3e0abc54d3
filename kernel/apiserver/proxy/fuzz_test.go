package proxy

import (
	"strings"
	"testing"
)

func FuzzProxyName(f *testing.F) {
	for _, s := range []string{"p", "p:80", "https:p:443", "::", ":p:", "a:b:c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, id string) {
		scheme, name, port, err := splitProxyName("pod", id)
		if err != nil {
			return
		}
		if strings.Contains(name, ":") || strings.Contains(port, ":") || (scheme != "" && scheme != "http" && scheme != "https") {
			t.Errorf("%q splits into %q %q %q", id, scheme, name, port)
		}
	})
}
