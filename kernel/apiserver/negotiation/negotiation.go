// Package negotiation agrees with a client on the form of bodies and answers:
// media types, and the kinds into which an answer may be transformed. It owns
// the Accept and Content-Type headers and nothing else; it must not know what
// is served. Everything is a pure function of the request.
//
// https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
package negotiation

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/munnerz/goautoneg"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// The media types of objects.
const (
	JSON     = "application/json"
	YAML     = "application/yaml"
	Protobuf = "application/vnd.kubernetes.protobuf"
)

var MediaTypes = []string{JSON, YAML, Protobuf}

// maxAccept bounds the Accept header that is parsed.
const maxAccept = 8 << 10

// Accepted is what a client wants to read and the endpoint can answer.
type Accepted struct {
	Media  string
	Pretty bool
	// As is the kind that the answer shall be transformed into: a Table or
	// PartialObjectMetadata of meta.k8s.io, a discovery document. Empty for
	// the resource's own kind.
	As schema.GroupVersionKind
	// Stream is true when a stream of watch events was asked for by name.
	Stream bool
}

// Offer says what an endpoint can answer.
type Offer struct {
	Media []string // the first is the default
	// Routed are the media types of a path's route, nil where upstream's router
	// does not stand before the path. The router compares names as they are, knows
	// "*/*" and no other pattern, and refuses in words of its own.
	Routed []string
	// Own tells whether the endpoint's own kind, untransformed, is to be had in a
	// media type; nil means in all.
	Own func(media string) bool
	// Transforms tells whether an answer may be transformed into a kind; nil
	// means into none.
	Transforms func(as schema.GroupVersionKind, media string) bool
}

// Negotiate picks the first clause of the Accept header, by quality and then
// by order, that the endpoint can answer. Its error is a 406.
func Negotiate(r *http.Request, o Offer) (Accepted, error) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	pretty := WantsPretty(r)
	if header == "" {
		return Accepted{Media: o.Media[0], Pretty: pretty}, nil
	}
	if len(header) > maxAccept {
		return Accepted{}, NotAcceptable(o.Media)
	}
	if o.Routed != nil && !routes(header, o.Routed) {
		return Accepted{}, unroutable(o.Routed)
	}
	for _, clause := range goautoneg.ParseAccept(header) {
		for _, m := range o.Media {
			if !matches(clause, m) {
				continue
			}
			if a, ok := o.take(clause.Params, m); ok {
				a.Pretty = a.Pretty || pretty
				return a, nil
			}
		}
	}
	return Accepted{}, NotAcceptable(o.Media)
}

func matches(c goautoneg.Accept, media string) bool {
	typ, sub, _ := strings.Cut(media, "/")
	switch {
	case c.Type == "*" && c.SubType == "*":
		return true
	case c.Type != typ:
		return false
	}
	return c.SubType == "*" || c.SubType == sub
}

func (o Offer) take(params map[string]string, media string) (Accepted, bool) {
	a := Accepted{Media: media}
	for k, v := range params {
		switch k {
		case "as":
			a.As.Kind = v
		case "g":
			a.As.Group = v
		case "v":
			a.As.Version = v
		case "pretty":
			a.Pretty = v == "1"
		case "stream":
			if v != "" && (v != "watch" || media == YAML) {
				return Accepted{}, false
			}
			a.Stream = v != ""
		}
	}
	if a.As.Empty() {
		return a, o.Own == nil || o.Own(media)
	}
	return a, o.Transforms != nil && o.Transforms(a.As, media)
}

// Objects is the offer of resources: their own kind, metadata, and tables
// where there are some.
// protobuf tells whether their own kind is to be had in it: metadata always is.
func Objects(protobuf, tables bool) Offer {
	o := Offer{Media: MediaTypes, Transforms: func(as schema.GroupVersionKind, media string) bool {
		return metaTransform(as, media) && (tables || as.Kind != "Table")
	}}
	if !protobuf {
		o.Own = func(media string) bool { return media != Protobuf }
	}
	return o
}

func metaTransform(as schema.GroupVersionKind, media string) bool {
	if as.Group != metav1.GroupName || (as.Version != "v1" && as.Version != "v1beta1") {
		return false
	}
	switch as.Kind {
	case "Table":
		return media != Protobuf
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

// WantsPretty is true for ?pretty and for clients that people look at.
func WantsPretty(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if v := r.URL.Query().Get("pretty"); v != "" {
			pretty, _ := strconv.ParseBool(v)
			return pretty
		}
	}
	ua := r.UserAgent()
	return strings.HasPrefix(ua, "curl") || strings.HasPrefix(ua, "Wget") || strings.HasPrefix(ua, "Mozilla/5.0")
}

// BodyMedia is the media type of a request body, which is of the endpoint's own
// kind. Its error is a 415.
func BodyMedia(r *http.Request, o Offer) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return JSON, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err == nil {
		for _, m := range o.Media {
			if m == media && (o.Own == nil || o.Own(media)) {
				return m, nil
			}
		}
	}
	return "", UnsupportedMediaType(o.Media)
}

// AcceptsGzip tells whether a client takes compressed answers.
func AcceptsGzip(r *http.Request) bool {
	for _, v := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(v, ",") {
			name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
			if name == "gzip" && !isZero(strings.TrimPrefix(strings.ReplaceAll(q, " ", ""), "q=")) {
				return true
			}
		}
	}
	return false
}

// isZero tells a quality of nothing, which refuses; what is no number does not.
func isZero(q string) bool {
	f, err := strconv.ParseFloat(q, 64)
	return err == nil && f == 0
}
