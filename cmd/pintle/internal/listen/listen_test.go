package listen_test

import (
	"net"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/cmd/pintle/internal/listen"
)

func TestOpen(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tc := range []struct {
		name  string
		specs []string
		want  string // part of the error; "" is success
	}{
		{"free port", []string{"127.0.0.1:0"}, ""},
		{"two", []string{"127.0.0.1:0", "127.0.0.1:0"}, ""},
		{"in use", []string{taken.Addr().String()}, "in use by another process"},
		{"no port", []string{"127.0.0.1"}, "--listen"},
		{"no descriptor", []string{"fd:x=127.0.0.1:1"}, "fd:N"},
		{"not a socket", []string{"fd:1=127.0.0.1:1"}, "fd:N"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ls, err := listen.Open("listen", tc.specs)
			for _, l := range ls {
				l.Close()
			}
			if (err == nil) != (tc.want == "") || err != nil && !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %q", err, tc.want)
			}
			if err == nil && len(ls) != len(tc.specs) {
				t.Errorf("%d listeners, want %d", len(ls), len(tc.specs))
			}
		})
	}
}
