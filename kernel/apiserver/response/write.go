// Package response turns answers into bytes: what is ready already, objects of
// the meta group, and errors, for which [Status] is the one place where they
// become what a client sees. It must not know kinds: objects of the API are
// package render's.
//
// Everything is safe for concurrent use.
package response

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
	"github.com/pintle-io/pintle/kernel/audit"
)

// Writer answers requests with objects that need no codec, and logs what a
// person should see of errors. Its zero value is not usable.
type Writer struct{ Log *slog.Logger }

// RoutedJSON is JSON for GET alone, of clients that take it.
func (s Writer) RoutedJSON(w http.ResponseWriter, r *http.Request, v any) {
	if err := routedAs(r, negotiation.JSON, []string{negotiation.JSON}); err != nil {
		s.Fail(w, r, err)
		return
	}
	s.JSON(w, r, v)
}

// JSON answers with v, indented.
func (s Writer) JSON(w http.ResponseWriter, r *http.Request, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		s.Fail(w, r, err)
		return
	}
	WriteBytes(w, r, http.StatusOK, negotiation.JSON, b)
}

// Document answers with the document that make gives, which clients may keep
// for an hour. A nil make is a document that is not served: 404.
func (s Writer) Document(w http.ResponseWriter, r *http.Request, media string, make func() ([]byte, error)) {
	if make == nil {
		http.NotFound(w, r)
		return
	}
	if err := routedAs(r, media, nil); err != nil {
		s.Fail(w, r, err)
		return
	}
	b, err := make()
	if err != nil {
		s.Fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	WriteBytes(w, r, http.StatusOK, media, b)
}

// gzipFrom is the size beyond which answers are compressed for clients that
// accept it. Below, the CPU costs more than the bytes.
const gzipFrom = 128 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid constant
	return w
}}

// Body is an answer in pieces: a list is the concatenation of the encodings
// of its items, which are shared and must not be copied into one buffer.
type Body struct {
	pieces [][]byte
	size   int
	own    bool // the last piece is a copy that may be appended to
}

// Add appends shared bytes, which are not copied.
func (b *Body) Add(p []byte) {
	b.pieces = append(b.pieces, p)
	b.own = false
	b.size += len(p)
}

// Of is a body of one piece, which is not copied.
func Of(data []byte) *Body { return &Body{pieces: [][]byte{data}, size: len(data)} }

// Bytes are all pieces in one.
func (b *Body) Bytes() []byte { return bytes.Join(b.pieces, nil) }

// Write implements io.Writer. Small pieces are copied, since writers reuse
// their buffers for them; large ones are an object's shared bytes.
func (b *Body) Write(p []byte) (int, error) {
	const small = 64
	if n := len(b.pieces) - 1; len(p) <= small && n >= 0 && b.own {
		b.pieces[n] = append(b.pieces[n], p...)
	} else if len(p) <= small {
		b.pieces = append(b.pieces, append(make([]byte, 0, 2*small), p...))
		b.own = true
	} else {
		b.pieces = append(b.pieces, p)
		b.own = false
	}
	b.size += len(p)
	return len(p), nil
}

// WriteBody answers with ready bytes, compressed for clients that accept it.
// The request lets go of its slot: see package flow.
func WriteBody(w http.ResponseWriter, r *http.Request, code int, contentType string, b *Body) {
	flow.From(r.Context()).Answer()
	h := w.Header()
	h.Set("Content-Type", contentType)
	if b.size > gzipFrom && negotiation.AcceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		h.Add("Vary", "Accept-Encoding")
		w.WriteHeader(code)
		z := gzipWriters.Get().(*gzip.Writer)
		defer gzipWriters.Put(z)
		z.Reset(w)
		for _, p := range b.pieces {
			if _, err := z.Write(p); err != nil {
				return // the client is gone
			}
		}
		_ = z.Close() // as above
		return
	}
	h.Set("Content-Length", fmt.Sprint(b.size))
	w.WriteHeader(code)
	_ = writePieces(w, b.pieces) // the client is gone when this fails
}

// chunkSize is how much is handed to a connection at a time. HTTP/2 makes
// frames of 4 KB, at a goroutine each, of what comes in small pieces, and full
// frames of what comes in large ones.
const chunkSize = 256 << 10

var chunks = sync.Pool{New: func() any {
	b := make([]byte, 0, chunkSize)
	return &b
}}

// writePieces writes pieces in few large writes.
func writePieces(w io.Writer, pieces [][]byte) error {
	if len(pieces) == 1 {
		_, err := w.Write(pieces[0])
		return err
	}
	chunk := chunks.Get().(*[]byte)
	defer chunks.Put(chunk)
	buf := (*chunk)[:0]
	for _, p := range pieces {
		for len(buf)+len(p) > chunkSize {
			n := chunkSize - len(buf)
			buf, p = append(buf, p[:n]...), p[n:]
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
		buf = append(buf, p...)
	}
	_, err := w.Write(buf)
	return err
}

// WriteBytes answers with one piece of ready bytes.
func WriteBytes(w http.ResponseWriter, r *http.Request, code int, contentType string, data []byte) {
	WriteBody(w, r, code, contentType, Of(data))
}

// Meta answers with an object of the meta group (Status, discovery, a
// table) whose kind is set. A client whose Accept cannot be met gets JSON for people
// to read.
func (s Writer) Meta(w http.ResponseWriter, r *http.Request, code int, obj runtime.Object) {
	a, err := negotiation.Negotiate(r, negotiation.Offer{Media: negotiation.MediaTypes})
	if err != nil {
		a = negotiation.Accepted{Media: negotiation.JSON, Pretty: true}
	}
	s.MetaAs(w, r, code, a, obj)
}

// MetaAs is Meta for a client whose wishes are known.
func (s Writer) MetaAs(w http.ResponseWriter, r *http.Request, code int, a negotiation.Accepted, obj runtime.Object) {
	Record(r, obj)
	data, err := EncodeMeta(obj, a)
	if err != nil {
		s.Log.Error("encode answer", "kind", obj.GetObjectKind().GroupVersionKind(), "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	WriteBytes(w, r, code, a.Media, data)
}

// Record shows an answer to the audit log.
func Record(r *http.Request, obj runtime.Object) {
	q := audit.From(r.Context())
	if st, ok := obj.(*metav1.Status); ok {
		q.Status(st)
		return
	}
	if q.WantsResponse() {
		q.Response(json.Marshal(obj))
	}
}

// protobufMeta writes objects whose kind is set; it needs no scheme for that.
var protobufMeta = protobuf.NewSerializer(nil, nil)

// EncodeMeta encodes an object whose kind is set and which needs no scheme.
func EncodeMeta(obj runtime.Object, a negotiation.Accepted) ([]byte, error) {
	switch a.Media {
	case negotiation.Protobuf:
		var buf bytes.Buffer
		if err := protobufMeta.Encode(obj, &buf); err != nil {
			return nil, err
		}
		return buf.Bytes(), nil
	case negotiation.YAML:
		return yaml.Marshal(obj)
	}
	if a.Pretty {
		b, err := json.MarshalIndent(obj, "", "  ")
		return append(b, '\n'), err
	}
	b, err := json.Marshal(obj)
	return append(b, '\n'), err
}

// Indent makes ready JSON readable, for those who asked.
func Indent(data []byte) []byte {
	var buf bytes.Buffer
	if json.Indent(&buf, data, "", "  ") != nil {
		return data
	}
	return append(bytes.TrimRight(buf.Bytes(), "\n"), '\n')
}

// Informational tells of a status that it comes before the answer's (RFC 9110 section
// 15.2), as 103 Early Hints of a proxied backend: it says nothing of the outcome. After
// 101 there is no other.
func Informational(code int) bool {
	return code >= 100 && code < 200 && code != http.StatusSwitchingProtocols
}

// SlowReader is how long a client may take to read what is ready for it.
const SlowReader = 60 * time.Second
