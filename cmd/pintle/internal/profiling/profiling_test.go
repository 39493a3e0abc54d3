package profiling

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime/pprof"
	"runtime/trace"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestHandler(t *testing.T) {
	srv := httptest.NewServer(Handler())
	defer srv.Close()
	for _, tc := range []struct {
		path, holds string
		code        int
	}{
		{"/debug/pprof", "Types of profiles available", 200}, // by way of a redirect
		{"/debug/pprof/", "Types of profiles available", 200},
		{"/debug/pprof/goroutine?debug=1", "goroutine profile: total", 200},
		{"/debug/pprof/heap?debug=1", "heap profile", 200},
		{"/debug/pprof/profile?seconds=0.01", "", 200},
		{"/debug/pprof/trace?seconds=0.01", "", 200},
		{"/debug/pprof/nonsense", "Unknown profile", 404},
		{"/debug/pprof/profile?seconds=121", "at most 120", 400},
		{"/debug/pprof/trace?seconds=1e9", "at most 120", 400},
		{"/debug/pprof/heap?seconds=3600", "at most 120", 400},
		{"/debug/pprof/profile?seconds=-1", "above 0", 400},
		{"/debug/pprof/profile?seconds=x", "want a number", 400},
	} {
		resp, err := http.Get(srv.URL + tc.path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != tc.code || !strings.Contains(string(b), tc.holds) {
			t.Errorf("GET %s: %d %.100q %v, want %d with %q", tc.path, resp.StatusCode, b, err, tc.code, tc.holds)
		}
	}
}

// A second one is refused while one is taken; one whose client goes ends.
func TestOneAtATime(t *testing.T) {
	for kind, first := range map[string]struct {
		start func(io.Writer) error
		stop  func()
	}{"profile": {pprof.StartCPUProfile, pprof.StopCPUProfile}, "trace": {trace.Start, trace.Stop}} {
		get := func(ctx context.Context, query string) (int, string) {
			w := httptest.NewRecorder()
			Handler().ServeHTTP(w, httptest.NewRequestWithContext(ctx, "GET", Path+kind+query, nil))
			return w.Code, w.Body.String()
		}
		if err := first.start(io.Discard); err != nil {
			t.Fatal(err)
		}
		code, text := get(t.Context(), "?seconds=0.001")
		first.stop()
		var status metav1.Status
		if err := json.Unmarshal([]byte(text), &status); err != nil || code != http.StatusConflict || status.Kind != "Status" ||
			status.Reason != metav1.StatusReasonConflict || !strings.Contains(status.Message, "another one is being taken") {
			t.Errorf("%s beside another: %d %q", kind, code, text)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if code, _ := get(gone, "?seconds=120"); code != http.StatusOK {
			t.Errorf("%s for a client that goes: %d", kind, code)
		}
		if code, _ := get(t.Context(), "?seconds=0.001"); code != http.StatusOK {
			t.Errorf("%s after it: %d", kind, code)
		}
	}
}
