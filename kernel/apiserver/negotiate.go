package apiserver

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
	mediaJSON     = "application/json"
	mediaYAML     = "application/yaml"
	mediaProtobuf = "application/vnd.kubernetes.protobuf"
)

var mediaTypes = []string{mediaJSON, mediaYAML, mediaProtobuf}

// maxAccept bounds the Accept header that is parsed.
const maxAccept = 8 << 10

// accept is what a client wants to read.
type accept struct {
	media  string
	pretty bool
	// as is the kind that the answer shall be transformed into: a Table or
	// PartialObjectMetadata of meta.k8s.io, a discovery document. Empty for
	// the resource's own kind.
	as schema.GroupVersionKind
	// stream is true when a stream of watch events was asked for by name.
	stream bool
}

// offer says what an endpoint can answer.
type offer struct {
	media []string
	// transforms are the kinds an answer may be transformed into.
	transforms func(as schema.GroupVersionKind, media string) bool
}

// negotiate picks the first clause of the Accept header, by quality and then
// by order, that the endpoint can answer.
func negotiate(r *http.Request, o offer) (accept, error) {
	header := strings.Join(r.Header.Values("Accept"), ",")
	pretty := wantsPretty(r)
	if header == "" {
		return accept{media: o.media[0], pretty: pretty}, nil
	}
	if len(header) > maxAccept {
		return accept{}, notAcceptable(o.media)
	}
	for _, clause := range goautoneg.ParseAccept(header) {
		for _, m := range o.media {
			if !matches(clause, m) {
				continue
			}
			if a, ok := o.take(clause.Params, m); ok {
				a.pretty = a.pretty || pretty
				return a, nil
			}
		}
	}
	return accept{}, notAcceptable(o.media)
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

func (o offer) take(params map[string]string, media string) (accept, bool) {
	a := accept{media: media}
	for k, v := range params {
		switch k {
		case "as":
			a.as.Kind = v
		case "g":
			a.as.Group = v
		case "v":
			a.as.Version = v
		case "pretty":
			a.pretty = v == "1"
		case "stream":
			if v != "" && (v != "watch" || media == mediaYAML) {
				return accept{}, false
			}
			a.stream = v != ""
		}
	}
	if a.as.Empty() {
		return a, true
	}
	return a, o.transforms != nil && o.transforms(a.as, media)
}

// objectOffer is the offer of resources: their own kind, metadata, and tables
// where there are some.
func objectOffer(protobuf, tables bool) offer {
	media := mediaTypes
	if !protobuf {
		media = mediaTypes[:2]
	}
	return offer{media: media, transforms: func(as schema.GroupVersionKind, media string) bool {
		return metaTransform(as, media) && (tables || as.Kind != "Table")
	}}
}

func metaTransform(as schema.GroupVersionKind, media string) bool {
	if as.Group != metav1.GroupName || (as.Version != "v1" && as.Version != "v1beta1") {
		return false
	}
	switch as.Kind {
	case "Table":
		return media != mediaProtobuf
	case "PartialObjectMetadata", "PartialObjectMetadataList":
		return true
	}
	return false
}

// wantsPretty is true for ?pretty and for clients that people look at.
func wantsPretty(r *http.Request) bool {
	if strings.Contains(r.URL.RawQuery, "pretty") {
		if v := r.URL.Query().Get("pretty"); v != "" {
			pretty, _ := strconv.ParseBool(v)
			return pretty
		}
	}
	ua := r.UserAgent()
	return strings.HasPrefix(ua, "curl") || strings.HasPrefix(ua, "Wget") || strings.HasPrefix(ua, "Mozilla/5.0")
}

// bodyMedia is the media type of a request body.
func bodyMedia(r *http.Request, accepted []string) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" {
		return mediaJSON, nil
	}
	media, _, err := mime.ParseMediaType(header)
	if err == nil {
		for _, m := range accepted {
			if m == media {
				return m, nil
			}
		}
	}
	return "", unsupportedMediaType(accepted)
}
