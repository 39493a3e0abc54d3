package remote_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pintle-io/pintle/kernel/auth/remote"
)

func TestBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		size int
		says bool // how large it is
		ok   bool
	}{
		{"none", 0, true, true},
		{"as much as may be", remote.MaxAnswer, true, true},
		{"as much as may be, in pieces", remote.MaxAnswer, false, true},
		{"more", remote.MaxAnswer + 1, true, false},
		{"more, in pieces", remote.MaxAnswer + 1, false, false},
		{"without an end", 64 << 20, false, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if !tc.says {
					w.(http.Flusher).Flush()
				}
				piece := make([]byte, 64<<10)
				for left := tc.size; left > 0; left -= len(piece) {
					if _, err := w.Write(piece[:min(len(piece), left)]); err != nil {
						return
					}
				}
			}))
			defer srv.Close()
			c := &http.Client{Transport: remote.Bounded(http.DefaultTransport)}
			var got []byte
			resp, err := c.Get(srv.URL)
			if err == nil {
				got, err = io.ReadAll(resp.Body)
				_ = resp.Body.Close()
			}
			if tc.ok && (err != nil || len(got) != tc.size) {
				t.Errorf("%d bytes and %v, want %d", len(got), err, tc.size)
			}
			if !tc.ok && !errors.Is(err, remote.ErrTooLarge) {
				t.Errorf("got %v, want ErrTooLarge", err)
			}
		})
	}
}
