package cli

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
)

// TestReported names what failed: a start, a server that ran, or a stop.
func TestReported(t *testing.T) {
	for want, tc := range map[string]struct{ ready, asked bool }{
		"✗ start": {false, false}, "✗ run": {true, false}, "✗ stop": {true, true},
	} {
		var out bytes.Buffer
		r := steps.NewReporter(steps.Terminal(&out), time.Now)
		if tc.ready {
			r.Ready()
		}
		ctx, cancel := context.WithCancel(t.Context())
		if tc.asked {
			cancel()
		}
		failed := errors.New("x")
		if err := reported(ctx, r, failed); !errors.Is(err, failed) || !strings.Contains(out.String(), want) {
			t.Errorf("%v, %q, want %q", err, &out, want)
		}
		cancel()
		if err := reported(ctx, r, nil); err != nil {
			t.Error(err)
		}
	}
}
