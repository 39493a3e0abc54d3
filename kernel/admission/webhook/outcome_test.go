package webhook_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	reviewv1 "k8s.io/api/admission/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/resource"
)

// reviewer is a webhook's server: it answers what answer says, "UID" being the
// request's.
func reviewer(answer func() string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var review reviewv1.AdmissionReview
		if err := json.NewDecoder(r.Body).Decode(&review); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, strings.ReplaceAll(answer(), "UID", string(review.Request.UID)))
	})
}

const review = `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{"uid":"UID","allowed":%t,"status":{"code":%d,"message":"no"}}}`

// TestRedirects: a webhook that sends the server elsewhere is not obeyed: what is
// reachable from here is not what its owner may reach.
func TestRedirects(t *testing.T) {
	var asked atomic.Int64
	inside := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	t.Cleanup(inside.Close)
	for _, to := range []string{inside.URL, "/elsewhere"} {
		for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			chain := newChain(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/elsewhere" {
					asked.Add(1)
				}
				http.Redirect(w, r, to, code)
			}))
			err := chain.Mutate(t.Context(), createPod())
			if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), "redirects are not followed") {
				t.Errorf("%d to %s: %v", code, to, err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("other addresses were asked %d times", n)
	}
}

// TestDenialCodes: whatever code a webhook denies with, the client gets one that HTTP
// has and that tells a failure.
func TestDenialCodes(t *testing.T) {
	for code, want := range map[int]int32{0: 400, -1: 400, 99: 400, 200: 400, 302: 400, 403: 403, 422: 422, 503: 503, 599: 599, 600: 400, 999: 400, 99999: 400} {
		chain := newChain(t, reviewer(func() string { return fmt.Sprintf(review, false, code) }))
		var denied apierrors.APIStatus
		if err := chain.Mutate(t.Context(), createPod()); !errors.As(err, &denied) || denied.Status().Code != want || !strings.Contains(err.Error(), "denied the request: no") {
			t.Errorf("%d: %v, want code %d", code, err, want)
		}
	}
}

// TestOutagesAreToldOnce: the log has a line when a webhook begins to fail and one when
// it answers again, however many requests it fails; no request of these is a
// failure of the server.
func TestOutagesAreToldOnce(t *testing.T) {
	var log bytes.Buffer
	var down atomic.Bool
	works := reviewer(func() string { return fmt.Sprintf(review, true, 200) })
	chain := newChain(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "out of order", http.StatusInternalServerError)
			return
		}
		works.ServeHTTP(w, r)
	}), slog.New(slog.NewTextHandler(&log, nil)))
	for round := range 2 {
		down.Store(true)
		for range 5 {
			if err := chain.Mutate(t.Context(), createPod()); !apierrors.IsInternalError(err) || !resource.IsOutsiders(err) {
				t.Fatalf("a webhook that fails: %v", err)
			}
		}
		down.Store(false)
		for range 5 {
			if err := chain.Mutate(t.Context(), createPod()); err != nil {
				t.Fatal(err)
			}
		}
		text := log.String()
		if n := strings.Count(text, "level=WARN msg=\"a webhook fails\""); n != round+1 || strings.Count(text, "level=INFO msg=\"a webhook answers again\"") != n || strings.Contains(text, "ERROR") {
			t.Errorf("round %d: the log is\n%s", round, text)
		}
	}
}
