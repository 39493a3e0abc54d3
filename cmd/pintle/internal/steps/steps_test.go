package steps_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
)

func TestFollow(t *testing.T) {
	at := time.Unix(0, 0)
	now := func() time.Time { at = at.Add(300 * time.Millisecond); return at }
	for _, tc := range []struct {
		name    string
		report  func(*steps.Reporter)
		want    []string
		wantErr string
	}{
		{"ready", func(r *steps.Reporter) { r.Done("etcd", "revision %d", 7); r.Ready() }, []string{"✓ etcd", "0.3s", "revision 7"}, ""},
		{"failed", func(r *steps.Reporter) { r.Done("checks", "ok"); r.Fail("api", errors.New("port in use")) }, []string{"✓ checks", "✗ api"}, "api: port in use"},
		{"died", func(r *steps.Reporter) { r.Done("checks", "ok") }, []string{"✓ checks"}, io.ErrUnexpectedEOF.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var pipe, out bytes.Buffer
			tc.report(steps.NewReporter(&pipe, now))
			err := steps.Follow(&pipe, &out)
			if got := errText(err); got != tc.wantErr {
				t.Errorf("error %q, want %q", got, tc.wantErr)
			}
			for _, w := range tc.want {
				if !strings.Contains(out.String(), w) {
					t.Errorf("output lacks %q:\n%s", w, &out)
				}
			}
		})
	}
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
