package modules

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// Path is where Handler is mounted; the hexadecimal sha256 follows.
const Path = "/apis/" + v1alpha1.Group + "/" + v1alpha1.Version + "/pluginmodules/"

var hexDigest = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Handler serves PUT, GET, HEAD and DELETE of whole modules as raw bytes. Who
// may do so is checked before, as for the resource pluginmodules.
func (s *Store) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := strings.CutPrefix(r.URL.Path, Path)
		if !ok || !hexDigest.MatchString(name) {
			http.Error(w, "the path must end with the module's sha256 in hexadecimal digits", http.StatusNotFound)
			return
		}
		digest := "sha256:" + name
		var err error
		switch r.Method {
		case http.MethodPut:
			err = s.put(w, r, digest)
		case http.MethodGet, http.MethodHead:
			var b []byte
			if b, err = s.Get(r.Context(), digest); err == nil {
				w.Header().Set("Content-Type", "application/octet-stream")
				_, err = w.Write(b)
			}
		case http.MethodDelete:
			err = s.Delete(r.Context(), digest)
		default:
			w.Header().Set("Allow", "GET, HEAD, PUT, DELETE")
			http.Error(w, "a module is put, read or deleted", http.StatusMethodNotAllowed)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), code(err))
		}
	})
}

func (s *Store) put(w http.ResponseWriter, r *http.Request, digest string) error {
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxSize))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return ErrTooLarge
		}
		return fmt.Errorf("read module: %w", err)
	}
	if got := v1alpha1.DigestOf(b); got != digest {
		return fmt.Errorf("%w: the bytes that came have %s", ErrDigest, got)
	}
	if _, err := s.Put(r.Context(), b); err != nil {
		return err
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

func code(err error) int {
	if s := apierrors.APIStatus(nil); errors.As(err, &s) {
		return int(s.Status().Code)
	}
	switch {
	case errors.Is(err, ErrNotFound):
		return http.StatusNotFound
	case errors.Is(err, ErrTooLarge):
		return http.StatusRequestEntityTooLarge
	case errors.Is(err, ErrDigest):
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}
