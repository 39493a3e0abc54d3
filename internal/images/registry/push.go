package registry

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// pushBlob serves /v2/<repo>/blobs/uploads/…, as section "push" of the
// distribution specification says. rest is what follows blobs/uploads/.
func (r *Registry) pushBlob(w http.ResponseWriter, req *http.Request, repo, id string) error {
	body := &patient{body: req.Body, wait: r.limit.Stall, control: http.NewResponseController(w)}
	if id == "" {
		if req.Method != http.MethodPost {
			return fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "an upload begins with POST"}
		}
		return r.startBlob(w, req, repo, body)
	}
	up, err := r.uploads.hold(repo, id)
	if err != nil {
		return err
	}
	switch req.Method {
	case http.MethodGet:
		r.report(w, up, http.StatusNoContent)
		return nil
	case http.MethodPatch:
		return r.appendBlob(w, req, up, body)
	case http.MethodPut:
		return r.finishBlob(w, req, up, body)
	case http.MethodDelete:
		r.uploads.cancel(up)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	r.uploads.release(up)
	return fault{http.StatusMethodNotAllowed, "UNSUPPORTED", "an upload takes GET, PATCH, PUT and DELETE"}
}

// startBlob opens an upload, takes a whole blob, or finds that it is here: all
// repositories share their blobs.
func (r *Registry) startBlob(w http.ResponseWriter, req *http.Request, repo string, body io.Reader) error {
	if h, err := v1.NewHash(req.URL.Query().Get("mount")); err == nil {
		if _, err := r.blobs.Stat(req.Context(), repo, h); err == nil {
			created(w, repo, h)
			return nil
		}
	}
	up, err := r.uploads.start(repo)
	if err != nil {
		return err
	}
	if req.URL.Query().Get("digest") != "" {
		return r.finishBlob(w, req, up, body)
	}
	r.report(w, up, http.StatusAccepted)
	return nil
}

// report answers where an upload stands, and leaves it for the next request.
func (r *Registry) report(w http.ResponseWriter, up *upload, status int) {
	w.Header().Set("Location", "/v2/"+up.repo+"/blobs/uploads/"+up.id)
	w.Header().Set("Docker-Upload-UUID", up.id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(up.size-1, 0)))
	r.uploads.release(up)
	w.WriteHeader(status)
}

func (r *Registry) appendBlob(w http.ResponseWriter, req *http.Request, up *upload, body io.Reader) error {
	if err := r.receive(req, up, body); err != nil {
		return err
	}
	r.report(w, up, http.StatusAccepted)
	return nil
}

// receive appends a request's body to a held upload. On an error the upload is
// gone, except when the client has its order wrong.
func (r *Registry) receive(req *http.Request, up *upload, body io.Reader) error {
	if at := req.Header.Get("Content-Range"); at != "" {
		var from, to int64
		if _, err := fmt.Sscanf(at, "%d-%d", &from, &to); err != nil || from != up.size {
			r.uploads.release(up)
			return fmt.Errorf("%w: it has %d bytes", errOutOfOrder, up.size)
		}
	}
	if req.ContentLength > r.limit.Blob-up.size {
		r.uploads.cancel(up)
		return errTooLarge
	}
	if err := r.uploads.write(up, body); err != nil {
		r.uploads.cancel(up)
		return err
	}
	return nil
}

func (r *Registry) finishBlob(w http.ResponseWriter, req *http.Request, up *upload, body io.Reader) error {
	h, err := v1.NewHash(req.URL.Query().Get("digest"))
	if err != nil || h.Algorithm != "sha256" {
		r.uploads.release(up)
		return fault{http.StatusBadRequest, "DIGEST_INVALID", "want digest=sha256:…"}
	}
	if err := r.receive(req, up, body); err != nil {
		return err
	}
	if err := r.uploads.finish(up, h, r.blobs.file(h)); err != nil {
		return err
	}
	created(w, up.repo, h)
	return nil
}

func created(w http.ResponseWriter, repo string, h v1.Hash) {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+h.String())
	w.Header().Set("Docker-Content-Digest", h.String())
	w.WriteHeader(http.StatusCreated)
}

// patient reads a body whose sender may pause, but not for longer than wait.
type patient struct {
	body    io.Reader
	wait    time.Duration
	control *http.ResponseController
}

func (p *patient) Read(b []byte) (int, error) {
	// A connection without deadlines (a test's recorder) has no sender that
	// could stall.
	_ = p.control.SetReadDeadline(time.Now().Add(p.wait))
	return p.body.Read(b)
}

// uploadID takes /v2/<repo>/blobs/uploads/<id> apart; id is "" for a new one.
func uploadID(rest string) (id string, ok bool) {
	id, ok = strings.CutPrefix(rest, "blobs/uploads")
	if !ok || (id != "" && id[0] != '/') {
		return "", false
	}
	id = strings.Trim(id, "/")
	return id, !strings.Contains(id, "/")
}
