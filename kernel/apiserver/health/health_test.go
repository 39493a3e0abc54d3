package health

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func ask(c *Checks, path string) (int, string) {
	w := httptest.NewRecorder()
	c.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

func TestHealth(t *testing.T) {
	fine := func(context.Context) error { return nil }
	panics := prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"})
	c := New([]Check{
		{Name: "fine", Check: fine},
		{Name: "loading", ReadyOnly: true, Check: func(context.Context) error { return errors.New("a secret reason") }},
		{Name: "panics", ReadyOnly: true, Check: func(context.Context) error { panic("oh") }},
	}, panics, slog.New(slog.DiscardHandler))
	for _, tc := range []struct {
		path string
		code int
		want string
	}{
		{"/livez", 200, "ok"},
		{"/healthz/fine", 200, "ok"},
		{"/livez/loading", 404, ""},
		{"/livez?verbose", 200, "[+]fine ok\n"},
		{"/readyz", 500, "[-]loading failed: reason withheld\n"},
		{"/readyz/panics", 500, "[-]panics failed"},
		{"/readyz?exclude=loading&exclude=panics", 200, "ok"},
		{"/readyz?exclude=loading&exclude=panics&verbose", 200, "[+]loading excluded: ok\n"},
		{"/readyz/none", 404, ""},
	} {
		code, text := ask(c, tc.path)
		if code != tc.code || !strings.Contains(text, tc.want) || strings.Contains(text, "secret") {
			t.Errorf("%s: %d %q, want %d with %q", tc.path, code, text, tc.code, tc.want)
		}
	}
	if n := testutil.ToFloat64(panics); n != 2 {
		t.Errorf("%v panics counted, want 2", n)
	}
	c.Drain()
	if code, text := ask(c, "/readyz/shutdown"); code != 500 {
		t.Errorf("ready while draining: %s", text)
	}
	if code, text := ask(c, "/livez"); code != 200 {
		t.Errorf("not alive while draining: %s", text)
	}
}

// A check that hangs is run once, however many ask, and does not hang them.
func TestHangingCheck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		runs := 0
		c := New([]Check{{Name: "slow", Check: func(ctx context.Context) error {
			runs++
			<-ctx.Done()
			return ctx.Err()
		}}}, prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.DiscardHandler))
		start, codes := time.Now(), make(chan int)
		for range 10 {
			go func() { code, _ := ask(c, "/livez"); codes <- code }()
		}
		for range 10 {
			if code := <-codes; code != 500 {
				t.Errorf("code %d", code)
			}
		}
		if took := time.Since(start); runs != 1 || took != checkTimeout {
			t.Errorf("%d runs, all answered after %v", runs, took)
		}
	})
}

// TestOutagesAreToldOnce: a prober asks every second.
func TestOutagesAreToldOnce(t *testing.T) {
	var (
		log    bytes.Buffer
		result error
	)
	c := New([]Check{{Name: "store", Check: func(context.Context) error { return result }}},
		prometheus.NewCounter(prometheus.CounterOpts{Name: "panics"}), slog.New(slog.NewTextHandler(&log, nil)))
	for _, step := range []struct {
		result error
		drain  bool
		want   string // of five questions
	}{
		{errors.New("starts"), false, `level=INFO msg="health check does not pass yet" check=store error=starts`},
		{errors.New("starts, nearly done"), false, `level=INFO msg="health check does not pass yet" check=store error="starts, nearly done"`},
		{nil, false, ""},
		{errors.New("no quorum"), false, `level=WARN msg="health check failed" check=store error="no quorum"`},
		{errors.New("disk is full"), false, `level=WARN msg="health check failed" check=store error="disk is full"`},
		{nil, false, `level=INFO msg="over: health check failed" check=store failures=10`},
		{errors.New("closed"), true, `level=INFO msg="health check does not pass yet" check=store error=closed`},
	} {
		result = step.result
		if step.drain {
			c.Drain()
		}
		for range 5 {
			if code, _ := ask(c, "/livez"); (code == 200) != (result == nil) {
				t.Errorf("%v: answered %d", result, code)
			}
		}
		got := strings.TrimSpace(log.String())
		log.Reset()
		if _, line, _ := strings.Cut(got, " "); line != step.want {
			t.Errorf("%v: the log says %q, want %q", result, got, step.want)
		}
	}
}
