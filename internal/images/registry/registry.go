// Package registry is an OCI image registry whose content survives restarts.
// Reading is go-containerregistry's handler; what is pushed goes to files:
// blobs under their digest while they come, manifests before a push is
// answered.
//
// Anybody who reaches it may read, as nodes do. Who may push and delete, the
// owner of the registry says (Config.Push). What pushes may take of disk,
// memory and time is bounded by Limits. Begin with Registry.ServeHTTP.
package registry

import (
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
	"k8s.io/utils/clock"
)

// Config says where a registry is and who may change it.
type Config struct {
	Dir    string                     // made if need be
	Push   PushCheck                  // nil lets nobody push
	Limits Limits                     // what is zero has its default
	Clock  clock.WithDelayedExecution // nil is the real clock
	Log    *slog.Logger               // nil discards
}

// Registry is an http.Handler for /v2/. It may be used concurrently.
type Registry struct {
	dir     string
	limit   Limits
	clock   clock.Clock
	access  *access
	blobs   *blobs
	uploads *uploads
	inner   http.Handler
	log     *slog.Logger
	mu      sync.Mutex // serialises changes of manifests
	refs    *refs      // guarded by mu
	damaged bool       // something stored could not be read; written by New alone
}

// New opens the registry. A manifest that cannot be read is left out with a
// warning rather than keeping the others from being served.
func New(c Config) (*Registry, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	limit := c.Limits.withDefaults()
	for _, d := range []string{"blobs", "refs", "manifests"} {
		if err := os.MkdirAll(filepath.Join(c.Dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	ups, err := newUploads(filepath.Join(c.Dir, "uploads"), limit, c.Clock)
	if err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	b := &blobs{dir: filepath.Join(c.Dir, "blobs"), clock: c.Clock}
	r := &Registry{
		dir: c.Dir, limit: limit, clock: c.Clock, access: newAccess(c.Push, limit.Checks), blobs: b, uploads: ups, log: c.Log, refs: newRefs(),
		inner: registry.New(registry.WithBlobHandler(b), registry.Logger(log.New(io.Discard, "", 0))),
	}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// ServeHTTP serves the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if err := r.serve(w, canonicalRequest(req)); err != nil {
		f := asFault(err)
		if f.status == http.StatusUnauthorized {
			challenge(w, req)
		}
		if f.status == http.StatusTooManyRequests {
			w.Header().Set("Retry-After", "10")
		}
		f.answer(w)
	}
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) error {
	switch req.URL.Path {
	case tokenPath:
		return r.access.issue(w, req)
	case "/v2/":
		// Clients ask here first how they may log in.
		if req.Header.Get("Authorization") == "" {
			return errNoToken
		}
	}
	repo, rest, _ := split(req.URL.Path)
	id, isUpload := uploadID(rest)
	target, isManifest := manifestTarget(rest)
	if req.Method != http.MethodGet && req.Method != http.MethodHead || isUpload {
		if err := r.access.write(req); err != nil {
			return err
		}
	}
	switch {
	case isUpload:
		return r.pushBlob(w, req, repo, id)
	case isManifest && req.Method == http.MethodPut:
		return r.putManifest(w, req, repo, target)
	case isManifest && req.Method == http.MethodDelete:
		return r.deleteManifest(w, repo, target)
	case req.Method != http.MethodGet && req.Method != http.MethodHead:
		// Blobs go with the last manifest that holds them.
		return fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "the registry takes GET and HEAD here"}
	}
	r.inner.ServeHTTP(w, req)
	return nil
}

// manifestTarget takes manifests/<target> apart.
func manifestTarget(rest string) (string, bool) {
	target, ok := strings.CutPrefix(rest, "manifests/")
	return target, ok && target != "" && !strings.Contains(target, "/")
}
