package openapi

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"sync"

	openapi2 "github.com/google/gnostic-models/openapiv2"
	openapi3 "github.com/google/gnostic-models/openapiv3"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/apiserver/flow"
	"github.com/pintle-io/pintle/kernel/apiserver/negotiation"
)

// named is a document that is known by what it is made of, and made when it is
// first asked for.
type named struct {
	etag string
	get  func() (*document, error) // remembers its answer
}

// document is a JSON document, kept compressed, and its protobuf form, made
// when it is first asked for.
type document struct {
	json  []byte                 // gzip
	proto func() ([]byte, error) // gzip
}

func newDocument(data []byte, toProto func(json []byte) ([]byte, error)) (*document, error) {
	z, err := compress(data)
	if err != nil {
		return nil, err
	}
	return &document{z, sync.OnceValues(func() ([]byte, error) {
		plain, err := decompress(z)
		if err == nil {
			plain, err = toProto(plain)
		}
		if err != nil {
			return nil, err
		}
		return compress(plain)
	})}, nil
}

// serve answers with JSON, or protobuf under the new or the old name. A client that
// asks for a kind gets the document all the same, as upstream's: it is of none.
func (n *named) serve(w http.ResponseWriter, r *http.Request, proto, oldProto string) {
	w.Header().Add("Vary", "Accept")
	w.Header().Add("Vary", "Accept-Encoding")
	a, err := negotiation.Negotiate(r, negotiation.Offer{
		Media:      []string{negotiation.JSON, proto, oldProto},
		Transforms: func(schema.GroupVersionKind, string) bool { return true },
	})
	if err != nil {
		w.WriteHeader(http.StatusNotAcceptable)
		return
	}
	etag, contentType := n.etag, negotiation.JSON
	if a.Media != negotiation.JSON {
		etag, contentType = etag+"-PB", proto // never the old name: it is no valid media type
	}
	w.Header().Set("Etag", `"`+etag+`"`)
	if r.Header.Get("If-None-Match") == `"`+etag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	d, err := n.get()
	var data []byte
	if err == nil {
		if data = d.json; contentType != negotiation.JSON {
			data, err = d.proto()
		}
	}
	if err != nil {
		w.Header().Del("Etag")
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", contentType)
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
	return compressed(func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// compressed is what write writes.
func compressed(write func(io.Writer) error) ([]byte, error) {
	var buf bytes.Buffer
	z := gzip.NewWriter(&buf)
	if err := write(z); err != nil {
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
