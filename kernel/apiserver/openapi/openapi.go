// Package openapi serves /openapi/v2 and /openapi/v3: documents made of the
// catalog and of the models of its table. Nothing is built before it is asked
// for, and the index of v3 asks for nothing: a document is named by what it is
// made of (see identity.go). What is built is kept as compressed bytes, never as
// models. A change of the catalog has only those group versions built again
// that it touches. A group version that cannot be described is left out, and the
// log says so once.
package openapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Documents serves /openapi. It is safe for concurrent use.
type Documents struct {
	catalog *endpoint.Catalog
	version string // of Kubernetes
	program string // what built-in kinds say is part of the program
	log     *slog.Logger
	others  func() map[string]string

	extensions func(context.Context) []Extension // of v2; nil: there are none

	next   sync.Mutex // of whoever follows the catalog
	v3     atomic.Pointer[v3Documents]
	with   atomic.Pointer[mergedIndex] // the last index with what others have
	v2     atomic.Pointer[v2Document]
	v2with atomic.Pointer[extendedV2] // the last one

	building sync.Mutex            // of whoever builds
	models   weak.Pointer[builder] // of several documents in a row; guarded by building
}

// The media types of OpenAPI documents. Clients ask for protobuf by names of
// their own.
const (
	mediaOpenAPIV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	mediaOpenAPIV3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
)

// New makes the documents of what a catalog serves; kubernetes is the version
// that they name. A nil log discards.
func New(c *endpoint.Catalog, kubernetes string, log *slog.Logger) *Documents {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Documents{catalog: c, version: kubernetes, program: version.Build(), log: log}
}

// Others says which documents others have, by path, and their hashes: they stand in the
// index of v3, in the place of this server's of the same path. It must be called
// before anything is served.
func (o *Documents) Others(f func() map[string]string) { o.others = f }

// build has something built, one thing at a time: models are large, and live no
// longer than until the next collection.
func (o *Documents) build(f func(*builder) error) error {
	o.building.Lock()
	defer o.building.Unlock()
	b := o.models.Value()
	if b == nil {
		b = newBuilder(o.catalog.Snapshot().Table, o.version)
		o.models = weak.Make(b)
	}
	return f(b)
}

// ServeIndex answers /openapi/v3: where the document of each group version is.
func (o *Documents) ServeIndex(w http.ResponseWriter, r *http.Request) {
	docs, err := o.currentV3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	index := docs.index
	if o.others != nil {
		if index, err = o.merged(docs, o.others()); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
	}
	w.Header().Set("Etag", index.etag)
	if r.Header.Get("If-None-Match") == index.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	response.WriteBytes(w, r, http.StatusOK, negotiation.JSON, index.json)
}

// ServeV3 answers /openapi/v3/...: the document of one group version.
func (o *Documents) ServeV3(w http.ResponseWriter, r *http.Request) {
	docs, err := o.currentV3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	d := docs.byPath[strings.TrimPrefix(r.URL.Path, "/openapi/v3/")]
	if d == nil {
		w.WriteHeader(http.StatusNotFound) // as upstream, without a word
		return
	}
	if hash := r.URL.Query().Get("hash"); hash != "" {
		if hash != d.etag {
			http.Redirect(w, r, r.URL.Path+"?hash="+d.etag, http.StatusMovedPermanently)
			return
		}
		// The address names the content: it never changes.
		w.Header().Set("Cache-Control", "public, immutable")
		w.Header().Set("Expires", "Thu, 31 Dec 2099 23:59:59 GMT")
	}
	d.serve(w, r, mediaOpenAPIV3, "application/com.github.proto-openapi.spec.v3@v1.0+protobuf")
}
