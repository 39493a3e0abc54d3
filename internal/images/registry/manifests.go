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
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

// load gives the stored manifests to the inner handler: those of images
// first, then indexes, which refer to them.
func (r *Registry) load() error {
	stored, err := r.references()
	if err != nil {
		return err
	}
	isIndex := func(rec record) bool {
		return strings.Contains(rec.ContentType, "index") || strings.Contains(rec.ContentType, "list")
	}
	slices.SortStableFunc(stored, func(a, b record) int {
		switch x, y := isIndex(a), isIndex(b); {
		case x == y:
			return 0
		case y:
			return -1
		}
		return 1
	})
	for _, rec := range stored {
		if err := r.replay(rec); err != nil {
			r.log.Warn("registry: manifest left out", "repo", rec.Repo, "target", rec.Target, "error", err)
			r.damaged = true
		}
	}
	return r.sweep()
}

// references reads what is stored, by canonical names. A file that cannot be
// read as a reference is left out.
func (r *Registry) references() ([]record, error) {
	entries, err := os.ReadDir(filepath.Join(r.dir, "refs"))
	if err != nil {
		return nil, err
	}
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
			r.log.Warn("registry: reference left out", "file", e.Name(), "error", err)
			r.damaged = true
			continue
		}
		rec.Repo = canonical(rec.Repo)
		// One under another name, from before they were one, gives way.
		own := r.refFile(rec.Repo, rec.Target)
		if _, ok := found[rec.name()]; !ok || file == own {
			found[rec.name()] = rec
		}
		if file != own {
			if err := r.moveRef(file, rec); err != nil {
				return nil, err
			}
		}
	}
	return slices.Collect(maps.Values(found)), nil
}

// moveRef gives a reference from before its name.
func (r *Registry) moveRef(file string, rec record) error {
	if _, err := os.Stat(r.refFile(rec.Repo, rec.Target)); errors.Is(err, fs.ErrNotExist) {
		if err := r.writeRef(rec); err != nil {
			return err
		}
	}
	return os.Remove(file)
}

func (r *Registry) replay(rec record) error {
	b, err := os.ReadFile(r.manifestFile(rec.Digest))
	if err != nil {
		return err
	}
	if digest(b) != rec.Digest {
		return fmt.Errorf("manifest %s is damaged", rec.Digest)
	}
	if answer := r.ask(http.MethodPut, rec.name(), rec.ContentType, b); answer.Code/100 != 2 {
		return fmt.Errorf("%s:%s: %s", rec.Repo, rec.Target, strings.TrimSpace(answer.Body.String()))
	}
	r.refs.add(rec, parse(b))
	return nil
}

// ask makes a request of our own to the inner handler.
func (r *Registry) ask(method string, n name, contentType string, body []byte) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	req := &http.Request{
		Method: method, URL: &url.URL{Path: "/v2/" + n.repo + "/manifests/" + n.target}, Header: http.Header{"Content-Type": {contentType}},
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	r.inner.ServeHTTP(w, req)
	return w
}

// putManifest stores the manifest before it is answered. The inner handler
// judges it first, so that nothing bad reaches the disk.
func (r *Registry) putManifest(w http.ResponseWriter, req *http.Request, repo, target string) error {
	sent := &patient{body: http.MaxBytesReader(w, req.Body, r.limit.Manifest), wait: r.limit.Stall, control: http.NewResponseController(w)}
	body, err := io.ReadAll(sent)
	if err != nil {
		return fault{http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "manifest: " + err.Error()}
	}
	rec := record{Repo: repo, Target: target, ContentType: req.Header.Get("Content-Type"), Digest: digest(body)}
	if strings.Contains(target, ":") && target != rec.Digest { // no tag has a colon
		return fault{http.StatusBadRequest, "DIGEST_INVALID", "the manifest is " + rec.Digest}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.refs.fits(rec, int64(len(body)), r.limit) {
		return fault{http.StatusInsufficientStorage, "DENIED", fmt.Sprintf(
			"the registry holds as many images as it may (%d names, %d bytes of manifests): delete some with `pintle image delete`", r.limit.References, r.limit.Manifests)}
	}
	answer := r.ask(http.MethodPut, rec.name(), rec.ContentType, body)
	if answer.Code/100 == 2 {
		if err := r.store(rec, body); err != nil {
			r.log.Error("registry: manifest not stored", "repo", repo, "error", err)
			return fault{http.StatusInsufficientStorage, "UNKNOWN", "manifest not stored: " + err.Error()}
		}
	}
	copyAnswer(w, answer)
	return nil
}

func (r *Registry) store(rec record, manifest []byte) error {
	if err := atomicfile.Write(r.manifestFile(rec.Digest), manifest, 0o600); err != nil {
		return err
	}
	// An image pushed by tag is also pulled by its digest.
	for _, target := range []string{rec.Target, rec.Digest} {
		rec.Target = target
		if err := r.writeRef(rec); err != nil {
			return err
		}
		r.refs.add(rec, parse(manifest))
	}
	return nil
}

func (r *Registry) writeRef(rec record) error {
	b, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	return atomicfile.Write(r.refFile(rec.Repo, rec.Target), b, 0o600)
}

// deleteManifest removes a name, what only it held, and blobs that nothing
// refers to any more.
func (r *Registry) deleteManifest(w http.ResponseWriter, repo, target string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	gone := r.refs.withdraw(name{repo, target})
	if len(gone) == 0 {
		return fault{http.StatusNotFound, "MANIFEST_UNKNOWN", "there is no " + repo + ":" + target}
	}
	for _, rec := range gone {
		if err := os.Remove(r.refFile(rec.Repo, rec.Target)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		r.ask(http.MethodDelete, rec.name(), "", nil)
		r.refs.remove(rec)
	}
	if err := r.sweep(); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// sweep removes manifests and blobs that nothing refers to, except those that
// are so young that a push which is under way may count on them. Where a
// manifest could not be read nobody knows what it refers to: all stay. The
// caller holds mu, or is alone.
func (r *Registry) sweep() error {
	if r.damaged {
		return nil
	}
	manifests, blobs := r.refs.holds()
	old := r.clock.Now().Add(-r.limit.UploadLifetime)
	remove := func(path string, d fs.DirEntry) error {
		fi, err := d.Info()
		if err == nil && fi.ModTime().Before(old) {
			err = os.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return errors.Join(
		walk(filepath.Join(r.dir, "manifests"), func(path string, d fs.DirEntry) error {
			if manifests[strings.Replace(d.Name(), "-", ":", 1)] {
				return nil
			}
			return remove(path, d)
		}),
		walk(r.blobs.dir, func(path string, d fs.DirEntry) error {
			if blobs[filepath.Base(filepath.Dir(path))+":"+d.Name()] {
				return nil
			}
			return remove(path, d)
		}))
}

// walk calls f for each file below dir.
func walk(dir string, f func(path string, d fs.DirEntry) error) error {
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return f(path, d)
	})
}

func copyAnswer(w http.ResponseWriter, answer *httptest.ResponseRecorder) {
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

// Names lists the stored images as "repo:tag", sorted, as a pod would write
// them: web:v1 for library/web.
func (r *Registry) Names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := []string{}
	for _, rec := range r.refs.records {
		if rec.isTag() {
			out = append(out, short(rec.Repo)+":"+rec.Target)
		}
	}
	slices.Sort(out)
	return out
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
