package maintain

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// Paths that Handlers serves.
const (
	StatusPath   = "/store/status"
	ReclaimPath  = "/store/reclaim"
	SnapshotPath = "/store/snapshot"
)

// Status is what StatusPath answers.
type Status struct {
	embed.Usage
	Revision int64 `json:"revision"`
	// Problem says why writes are refused, and what to do; "" when they are not.
	Problem string `json:"problem,omitempty"`
}

// stall is how long a client may take none of a snapshot before it is cut off.
const stall = time.Minute

// Handlers are HTTP paths for operators: GET StatusPath, POST ReclaimPath, GET
// SnapshotPath. They stand behind authorization; a snapshot holds every Secret.
func (k *Keeper) Handlers() map[string]http.Handler {
	return map[string]http.Handler{
		StatusPath:   only(http.MethodGet, k.serveStatus),
		ReclaimPath:  only(http.MethodPost, k.serveReclaim),
		SnapshotPath: only(http.MethodGet, k.serveSnapshot),
	}
}

// only answers 405 to other methods.
func only(method string, h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != method {
			w.Header().Set("Allow", method)
			http.Error(w, "use "+method, http.StatusMethodNotAllowed)
			return
		}
		h(w, r)
	})
}

func (k *Keeper) serveStatus(w http.ResponseWriter, r *http.Request) {
	rev, err := k.c.Revision(r.Context())
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	s := Status{Usage: k.c.DB.Usage(), Revision: rev}
	if err := k.Check(r.Context()); err != nil {
		s.Problem = err.Error()
	}
	writeJSON(w, s)
}

// serveReclaim goes on when the client does not wait for it.
func (k *Keeper) serveReclaim(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // not every writer can
	res, err := k.Reclaim(context.WithoutCancel(r.Context()))
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, store.ErrNoSpace):
		http.Error(w, err.Error(), http.StatusInsufficientStorage)
	case errors.Is(err, ErrSnapshot):
		http.Error(w, err.Error(), http.StatusConflict)
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	default:
		writeJSON(w, res)
	}
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the client is gone when this fails
}

// serveSnapshot sends one snapshot at a time: each keeps the pages that it
// reads from being used again. It takes as long as the client reads, unless the
// database is full and must be defragmented.
func (k *Keeper) serveSnapshot(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(r.Context()))
	defer cancel()
	to := &patient{Writer: w, rc: http.NewResponseController(w)}
	end, ok := k.turns.snapshot(func() { cancel(); to.stop() })
	if !ok {
		http.Error(w, "another snapshot is being taken, or the database is being defragmented", http.StatusConflict)
		return
	}
	defer end()
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := k.c.DB.Backup(ctx, to); err != nil {
		k.c.Log.Info("a snapshot was not taken to its end", "error", err)
		panic(http.ErrAbortHandler) // the client must not take a part for the whole
	}
}

var errStopped = errors.New("ended to defragment a full database")

// patient moves the deadline on with each piece that the client takes, until it
// is stopped.
type patient struct {
	io.Writer
	rc *http.ResponseController

	mu      sync.Mutex
	stopped bool // guarded by mu
}

// Write sends a piece.
func (p *patient) Write(b []byte) (int, error) {
	if err := p.wait(); err != nil {
		return 0, err
	}
	return p.Writer.Write(b)
}

func (p *patient) wait() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopped {
		return errStopped
	}
	_ = p.rc.SetWriteDeadline(time.Now().Add(stall)) // not every writer can
	return nil
}

// stop ends the write that waits for the client, and those to come.
func (p *patient) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = true
	_ = p.rc.SetWriteDeadline(time.Now()) // as above
}
