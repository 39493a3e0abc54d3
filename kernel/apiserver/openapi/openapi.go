// Package openapi serves /openapi/v2 and /openapi/v3: documents made of the
// catalog and of the models of its table. Nothing is built before it is asked
// for; what is built is kept as compressed bytes, never as models. A change of
// the catalog has only those group versions built again that it touches.
package openapi

import (
	"bytes"
	"compress/gzip"
	"crypto/sha512"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	openapi2 "github.com/google/gnostic-models/openapiv2"
	openapi3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Documents serves /openapi. It is safe for concurrent use.
type Documents struct {
	catalog *endpoint.Catalog
	version string // of Kubernetes

	mu sync.Mutex // of whoever makes the next documents
	v3 atomic.Pointer[v3Documents]
	v2 atomic.Pointer[v2Document]
}

// The media types of OpenAPI documents. Clients ask for protobuf by names of
// their own.
const (
	mediaOpenAPIV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
	mediaOpenAPIV3 = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
)

// New makes the documents of what a catalog serves; version is that of
// Kubernetes.
func New(c *endpoint.Catalog, version string) *Documents {
	return &Documents{catalog: c, version: version}
}

// document is a JSON document, kept compressed, and its protobuf form once
// that was asked for.
type document struct {
	etag    string
	json    []byte // gzip
	toProto func(json []byte) ([]byte, error)

	once     sync.Once
	proto    []byte // gzip
	protoErr error
}

func newDocument(data []byte, toProto func([]byte) ([]byte, error)) (*document, error) {
	z, err := compress(data)
	if err != nil {
		return nil, err
	}
	return &document{etag: fmt.Sprintf("%X", sha512.Sum512(data)), json: z, toProto: toProto}, nil
}

func (d *document) protobuf() ([]byte, error) {
	d.once.Do(func() {
		plain, err := decompress(d.json)
		if err == nil {
			plain, err = d.toProto(plain)
		}
		if err == nil {
			d.proto, err = compress(plain)
		}
		d.protoErr = err
	})
	return d.proto, d.protoErr
}

// ServeIndex answers /openapi/v3: where the document of each group version is.
func (o *Documents) ServeIndex(w http.ResponseWriter, r *http.Request) {
	docs, err := o.currentV3()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	etag := fmt.Sprintf("%q", fmt.Sprintf("%X", sha512.Sum512(docs.index)))
	w.Header().Set("Etag", etag)
	if r.Header.Get("If-None-Match") == etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	response.WriteBytes(w, r, http.StatusOK, negotiation.JSON, docs.index)
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
		http.NotFound(w, r)
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

// ServeV2 answers /openapi/v2: the one document of everything.
func (o *Documents) ServeV2(w http.ResponseWriter, r *http.Request) {
	doc, err := o.currentV2()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	doc.serve(w, r, mediaOpenAPIV2, "application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
}

// serve answers with JSON, or protobuf under the new or the old name.
func (d *document) serve(w http.ResponseWriter, r *http.Request, proto, oldProto string) {
	w.Header().Add("Vary", "Accept")
	a, err := negotiation.Negotiate(r, negotiation.Offer{Media: []string{negotiation.JSON, proto, oldProto}})
	if err != nil {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	data, etag, contentType := d.json, d.etag, negotiation.JSON
	if a.Media != negotiation.JSON {
		if data, err = d.protobuf(); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		etag += "-PB"
		contentType = proto
	}
	w.Header().Set("Etag", `"`+etag+`"`)
	if r.Header.Get("If-None-Match") == `"`+etag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", contentType) // never the old name: it is no valid media type
	w.Header().Add("Vary", "Accept-Encoding")
	flow.From(r.Context()).Answer()
	if negotiation.AcceptsGzip(r) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(data) // a client that went away
		return
	}
	// Piece by piece: whoever reads slowly must not hold the whole of it.
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	_, _ = io.Copy(w, z) // as above
}

func compress(data []byte) ([]byte, error) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if _, err := z.Write(data); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return bytes.Clone(buf.Bytes()), nil
}

func decompress(data []byte) ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

func toProtoV2(data []byte) ([]byte, error) {
	doc, err := openapi2.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("openapi v2: %w", err)
	}
	return proto.Marshal(doc)
}

func toProtoV3(data []byte) ([]byte, error) {
	doc, err := openapi3.ParseDocument(data)
	if err != nil {
		return nil, fmt.Errorf("openapi v3: %w", err)
	}
	return proto.Marshal(doc)
}
