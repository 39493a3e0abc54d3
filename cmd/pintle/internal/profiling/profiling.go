// Package profiling serves the profiles of this process at /debug/pprof/, as
// kube-apiserver and kubelet do, within bounds: a profile that is being taken
// costs everybody, so it ends by itself, and there is one at a time.
//
// It does not ask who makes a request: the servers that mount it do.
package profiling

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/pprof"
	"runtime/trace"
	"strconv"
	"time"

	profile "runtime/pprof"
)

// Path is where the handler is mounted.
const Path = "/debug/pprof/"

// MaxSeconds is how long a profile or a trace may take.
const MaxSeconds = 120

// Handler serves everything at and below [Path].
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/debug/pprof", http.RedirectHandler(Path, http.StatusFound))
	mux.HandleFunc(Path, bounded(pprof.Index))
	mux.HandleFunc(Path+"symbol", pprof.Symbol)
	mux.HandleFunc(Path+"profile", bounded(timed(30, profile.StartCPUProfile, profile.StopCPUProfile)))
	mux.HandleFunc(Path+"trace", bounded(timed(1, trace.Start, trace.Stop)))
	return mux
}

// bounded refuses a request for too long a time.
func bounded(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if v := r.FormValue("seconds"); v != "" {
			if n, err := strconv.ParseFloat(v, 64); err != nil || n <= 0 || n > MaxSeconds {
				refuse(w, http.StatusBadRequest, "BadRequest", fmt.Sprintf("seconds=%s: want a number above 0, at most %d", v, MaxSeconds))
				return
			}
		}
		next(w, r)
	}
}

// timed takes what start begins and stop ends. The runtime has one of a kind
// at a time.
func timed(seconds float64, start func(io.Writer) error, stop func()) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		n := seconds
		if v, err := strconv.ParseFloat(r.FormValue("seconds"), 64); err == nil {
			n = v // bounded has looked at it
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if err := start(w); err != nil {
			w.Header().Set("Retry-After", strconv.Itoa(MaxSeconds))
			refuse(w, http.StatusConflict, "Conflict", "another one is being taken of this process; try again when it has ended: "+err.Error())
			return
		}
		defer stop()
		wait(r.Context(), time.Duration(n*float64(time.Second)))
	}
}

// refuse answers as the API does: kubectl shows the text of a Status, and of
// nothing else.
func refuse(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{ // the client is gone when this fails
		"kind": "Status", "apiVersion": "v1", "metadata": struct{}{}, "status": "Failure", "message": message, "reason": reason, "code": code,
	})
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
