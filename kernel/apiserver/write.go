package apiserver

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
)

// gzipFrom is the size from which answers are compressed for clients that
// accept it. Below, the CPU costs more than the bytes.
const gzipFrom = 128 << 10

var gzipWriters = sync.Pool{New: func() any {
	w, _ := gzip.NewWriterLevel(nil, gzip.BestSpeed) // the level is a valid constant
	return w
}}

// body is an answer in pieces: a list is the concatenation of the encodings
// of its items, which are shared and must not be copied into one buffer.
type body struct {
	pieces [][]byte
	size   int
	own    bool // the last piece is a copy that may be appended to
}

func (b *body) add(p []byte) {
	b.pieces = append(b.pieces, p)
	b.own = false
	b.size += len(p)
}

// Write implements io.Writer. Small pieces are copied, since writers reuse
// their buffers for them; large ones are an object's shared bytes.
func (b *body) Write(p []byte) (int, error) {
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

// writeBody answers with ready bytes.
func writeBody(w http.ResponseWriter, r *http.Request, code int, contentType string, b *body) {
	flow.From(r.Context()).Answer()
	h := w.Header()
	h.Set("Content-Type", contentType)
	if b.size >= gzipFrom && acceptsGzip(r) {
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

func writeBytes(w http.ResponseWriter, r *http.Request, code int, contentType string, data []byte) {
	writeBody(w, r, code, contentType, &body{pieces: [][]byte{data}, size: len(data)})
}

func acceptsGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(v, ",") {
			name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
			if name == "gzip" && strings.ReplaceAll(q, " ", "") != "q=0" {
				return true
			}
		}
	}
	return false
}

// writeMeta answers with an object of the meta group (Status, discovery, a
// table) whose kind is set. A client whose Accept cannot be met gets JSON.
func (s *Server) writeMeta(w http.ResponseWriter, r *http.Request, code int, obj runtime.Object) {
	a, err := negotiate(r, offer{media: mediaTypes})
	if err != nil {
		a = accept{media: mediaJSON, pretty: wantsPretty(r)}
	}
	s.writeMetaAs(w, r, code, a, obj)
}

func (s *Server) writeMetaAs(w http.ResponseWriter, r *http.Request, code int, a accept, obj runtime.Object) {
	data, err := encodeMeta(obj, a)
	if err != nil {
		s.Log.Error("encode answer", "kind", obj.GetObjectKind().GroupVersionKind(), "error", err)
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	writeBytes(w, r, code, a.media, data)
}

// protobufMeta writes objects whose kind is set; it needs no scheme for that.
var protobufMeta = protobuf.NewSerializer(nil, nil)

func encodeMeta(obj runtime.Object, a accept) ([]byte, error) {
	switch a.media {
	case mediaProtobuf:
		var buf bytes.Buffer
		if err := protobufMeta.Encode(obj, &buf); err != nil {
			return nil, err
		}
		return buf.Bytes(), nil
	case mediaYAML:
		return yaml.Marshal(obj)
	}
	if a.pretty {
		b, err := json.MarshalIndent(obj, "", "  ")
		return append(b, '\n'), err
	}
	b, err := json.Marshal(obj)
	return append(b, '\n'), err
}

// indent makes ready JSON readable, for those who asked.
func indent(data []byte) []byte {
	var buf bytes.Buffer
	if json.Indent(&buf, data, "", "  ") != nil {
		return data
	}
	return append(bytes.TrimRight(buf.Bytes(), "\n"), '\n')
}
