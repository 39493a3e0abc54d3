// Package registry is an OCI image registry whose content survives restarts:
// the protocol is go-containerregistry's handler, blobs lie in files under
// their digest, and manifests are written to disk before a push is answered.
//
// It has no users or permissions: whoever reaches it may push. Bind it to the
// loopback, or to a network that is as trusted as its nodes.
package registry

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Limits of what a push may send, in bytes.
const (
	MaxManifest = 4 << 20
	MaxBlob     = 4 << 30
)

// Registry is an http.Handler for /v2/. It may be used concurrently.
type Registry struct {
	dir   string
	inner http.Handler
	log   *slog.Logger
	mu    sync.Mutex // serialises changes of manifests on disk
}

// record is a manifest on disk.
type record struct {
	Repo        string `json:"repo"`
	Target      string `json:"target"` // tag or digest
	ContentType string `json:"contentType"`
	Digest      string `json:"digest"` // of the manifest, which lies among the blobs of kind "manifests"
}

// New opens the registry in dir, which is made if need be. A manifest that
// cannot be read is left out with a warning rather than keeping the others
// from being served. log may be nil.
func New(dir string, logger *slog.Logger) (*Registry, error) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	for _, d := range []string{"blobs", "refs", "manifests"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return nil, fmt.Errorf("registry: %w", err)
		}
	}
	r := &Registry{dir: dir, log: logger, inner: registry.New(
		registry.WithBlobHandler(&blobs{dir: filepath.Join(dir, "blobs")}),
		registry.Logger(log.New(io.Discard, "", 0)))}
	if err := r.load(); err != nil {
		return nil, fmt.Errorf("registry: %w", err)
	}
	return r, nil
}

// load gives the stored manifests to the inner handler: those of images
// first, then indexes, which refer to them.
func (r *Registry) load() error {
	refs, err := r.references()
	if err != nil {
		return err
	}
	isIndex := func(rec record) bool {
		return strings.Contains(rec.ContentType, "index") || strings.Contains(rec.ContentType, "list")
	}
	slices.SortStableFunc(refs, func(a, b record) int {
		switch x, y := isIndex(a), isIndex(b); {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	})
	for _, rec := range refs {
		if err := r.replay(rec); err != nil {
			r.log.Warn("registry: manifest left out", "repo", rec.Repo, "target", rec.Target, "err", err)
		}
	}
	return nil
}

// references reads what is stored, by canonical names. A file that cannot be
// read as a reference is left out.
func (r *Registry) references() ([]record, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, "refs"))
	if err != nil {
		return nil, err
	}
	type name struct{ repo, target string }
	found := map[name]record{}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".json" {
			continue // left by a write that was cut off
		}
		file := filepath.Join(r.dir, "refs", e.Name())
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		var rec record
		if err := json.Unmarshal(b, &rec); err != nil {
			r.log.Warn("registry: reference left out", "file", e.Name(), "err", err)
			continue
		}
		rec.Repo = canonical(rec.Repo)
		n := name{rec.Repo, rec.Target}
		// One under a short name, from before they were one, gives way.
		if _, ok := found[n]; !ok || file == r.refFile(rec.Repo, rec.Target) {
			found[n] = rec
		}
	}
	return slices.Collect(maps.Values(found)), nil
}

func (r *Registry) replay(rec record) error {
	b, err := os.ReadFile(r.manifestFile(rec.Digest))
	if err != nil {
		return err
	}
	if digest(b) != rec.Digest {
		return fmt.Errorf("manifest %s is damaged", rec.Digest)
	}
	req, err := http.NewRequest(http.MethodPut, "/v2/"+rec.Repo+"/manifests/"+rec.Target, bytes.NewReader(b))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", rec.ContentType)
	w := httptest.NewRecorder()
	r.inner.ServeHTTP(w, req)
	if w.Code/100 != 2 {
		return fmt.Errorf("%s:%s: %s", rec.Repo, rec.Target, strings.TrimSpace(w.Body.String()))
	}
	return nil
}

// ServeHTTP serves the distribution protocol.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	req = canonicalRequest(req)
	repo, target, isManifest := manifestPath(req.URL.Path)
	switch {
	case isManifest && req.Method == http.MethodPut:
		r.putManifest(w, req, repo, target)
	case isManifest && req.Method == http.MethodDelete:
		r.deleteManifest(w, req, repo, target)
	default:
		req.Body = http.MaxBytesReader(w, req.Body, MaxBlob)
		r.inner.ServeHTTP(w, req)
	}
}

// putManifest stores the manifest before it is answered. The inner handler
// judges it first, so that nothing bad reaches the disk.
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, repo, target string) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, MaxManifest))
	if err != nil {
		http.Error(w, "manifest: "+err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	req.Body = io.NopCloser(bytes.NewReader(body))
	answer := httptest.NewRecorder()
	r.inner.ServeHTTP(answer, req)
	if answer.Code/100 == 2 {
		rec := record{Repo: repo, Target: target, ContentType: req.Header.Get("Content-Type"), Digest: digest(body)}
		if err := r.store(rec, body); err != nil {
			r.log.Error("registry: manifest not stored", "repo", repo, "err", err)
			http.Error(w, "manifest not stored: "+err.Error(), http.StatusInsufficientStorage)
			return
		}
	}
	copyAnswer(w, answer)
}

func (r *Registry) store(rec record, manifest []byte) error {
	if err := write(r.manifestFile(rec.Digest), manifest); err != nil {
		return err
	}
	// An image pushed by tag is also pulled by its digest.
	for _, target := range []string{rec.Target, rec.Digest} {
		rec.Target = target
		b, err := json.Marshal(rec)
		if err != nil {
			return err
		}
		if err := write(r.refFile(rec.Repo, target), b); err != nil {
			return err
		}
	}
	return nil
}

func (r *Registry) deleteManifest(w http.ResponseWriter, req *http.Request, repo, target string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range []string{repo, strings.TrimPrefix(repo, official)} {
		if err := os.Remove(r.refFile(name, target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	r.inner.ServeHTTP(w, req)
}

func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// Names lists the stored images as "repo:tag", sorted, by the names of their
// repositories that count: library/web for web.
func (r *Registry) Names() ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	refs, err := r.references()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, rec := range refs {
		if !strings.Contains(rec.Target, ":") {
			out = append(out, rec.Repo+":"+rec.Target)
		}
	}
	slices.Sort(out)
	return out, nil
}

func (r *Registry) manifestFile(digest string) string {
	return filepath.Join(r.dir, "manifests", strings.ReplaceAll(digest, ":", "-"))
}

// refFile names a reference's file by hash: repositories may be nested deeper
// and named longer than file names.
func (r *Registry) refFile(repo, target string) string {
	sum := sha256.Sum256([]byte(repo + "\x00" + target))
	return filepath.Join(r.dir, "refs", hex.EncodeToString(sum[:])+".json")
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// write replaces a file at once and whole.
func write(file string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Sync(); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}
