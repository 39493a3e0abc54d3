package negotiation

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// metaKind is a kind of meta.k8s.io/v1.
func metaKind(kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: "meta.k8s.io", Version: "v1", Kind: kind}
}

// wantMediaError checks code, reason and text of a failed negotiation.
func wantMediaError(t *testing.T, err error, code int32, reason metav1.StatusReason, text string) {
	t.Helper()
	var s apierrors.APIStatus
	if !errors.As(err, &s) {
		t.Fatalf("%v is no status", err)
	}
	if got := s.Status(); got.Code != code || got.Reason != reason || got.Message != text {
		t.Errorf("got  %d %s: %s\nwant %d %s: %s", got.Code, got.Reason, got.Message, code, reason, text)
	}
}

const (
	asTable = ";as=Table;v=v1;g=meta.k8s.io"
	asMeta  = ";as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
	asList  = ";as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"
)

func TestNegotiate(t *testing.T) {
	all, custom, untabled := Objects(true, true), Objects(false, true), Objects(true, false)
	documents := Offer{Media: MediaTypes}
	for _, tt := range []struct {
		accept string
		offer  Offer
		want   Accepted // no media: 406
	}{
		{"", all, Accepted{Media: JSON}},
		{"*/*", all, Accepted{Media: JSON}},
		{"application/*", all, Accepted{Media: JSON}},
		{"application/json", all, Accepted{Media: JSON}},
		{" application/json ; charset=utf-8", all, Accepted{Media: JSON}},
		{"application/yaml", all, Accepted{Media: YAML}},
		{"application/vnd.kubernetes.protobuf", all, Accepted{Media: Protobuf}},

		// Quality first, then order.
		{"application/json;q=0.5,application/yaml", all, Accepted{Media: YAML}},
		{"application/json;q=0.5,application/yaml;q=0.50,*/*;q=0.1", all, Accepted{Media: JSON}},
		{"application/yaml,application/json", all, Accepted{Media: YAML}},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", all, Accepted{Media: JSON}},
		{"*/*;q=0.1,application/vnd.kubernetes.protobuf;q=0.9", all, Accepted{Media: Protobuf}},

		// What client-go asks of a server that it does not know.
		{"application/vnd.kubernetes.protobuf,application/json", all, Accepted{Media: Protobuf}},
		{"application/vnd.kubernetes.protobuf,application/json", custom, Accepted{Media: JSON}},
		{"application/vnd.kubernetes.protobuf", custom, Accepted{}},
		{"application/cbor,application/json;q=0.9", all, Accepted{Media: JSON}},

		// What kubectl get asks, and what informers of metadata do.
		{"application/json" + asTable + ",application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json", all, Accepted{Media: JSON, As: metaKind("Table")}},
		{"application/json" + asTable + ",application/json", untabled, Accepted{Media: JSON}},
		{"application/json" + asTable, untabled, Accepted{}},
		{"application/vnd.kubernetes.protobuf" + asTable, all, Accepted{}},
		{"application/yaml" + asTable, all, Accepted{Media: YAML, As: metaKind("Table")}},
		{"application/json" + asMeta, untabled, Accepted{Media: JSON, As: metaKind("PartialObjectMetadata")}},
		{"application/vnd.kubernetes.protobuf" + asList + ",application/json" + asList, all, Accepted{Media: Protobuf, As: metaKind("PartialObjectMetadataList")}},
		{"application/vnd.kubernetes.protobuf" + asList + ",application/json" + asList, custom, Accepted{Media: Protobuf, As: metaKind("PartialObjectMetadataList")}},
		{"*/*" + asTable, all, Accepted{Media: JSON, As: metaKind("Table")}},

		// A transformation that is not to be had is no clause, whatever its media type.
		{"application/json;as=Table", all, Accepted{}},
		{"application/json;as=Table;v=v2;g=meta.k8s.io", all, Accepted{}},
		{"application/json;as=Table;v=v1;g=apps", all, Accepted{}},
		{"application/json;as=Picture;v=v1;g=meta.k8s.io", all, Accepted{}},
		{"application/json;v=v1;g=meta.k8s.io", all, Accepted{}},
		{"application/json" + asTable, documents, Accepted{}},
		{"application/json;as=Picture;v=v1;g=meta.k8s.io,application/yaml;q=0.1", all, Accepted{Media: YAML}},

		{"application/json;stream=watch", all, Accepted{Media: JSON, Stream: true}},
		{"application/vnd.kubernetes.protobuf;stream=watch", all, Accepted{Media: Protobuf, Stream: true}},
		{"application/yaml;stream=watch", all, Accepted{}},
		{"application/json;stream=tail", all, Accepted{}},
		{"application/json;stream=", all, Accepted{Media: JSON}},

		{"application/json;pretty=1", all, Accepted{Media: JSON, Pretty: true}},
		{"application/json;pretty=0", all, Accepted{Media: JSON}},

		{"text/html", all, Accepted{}},
		{"text/*", all, Accepted{}},
		{"*/json", all, Accepted{}},
		{"application/jsonx", all, Accepted{}},
		{"json", all, Accepted{}},
		{";;;=,,", all, Accepted{}},
		{strings.Repeat("a/b,", maxAccept/4) + "*/*", all, Accepted{}},
	} {
		name := tt.accept
		if len(name) > 60 {
			name = name[:60]
		}
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			if tt.accept != "" {
				r.Header.Set("Accept", tt.accept)
			}
			got, err := Negotiate(r, tt.offer)
			if tt.want.Media == "" {
				wantMediaError(t, err, http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable,
					"only the following media types are accepted: "+strings.Join(tt.offer.Media, ", "))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Several headers are one list.
func TestNegotiateSeveralHeaders(t *testing.T) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header["Accept"] = []string{"text/html", "application/json;q=0.5", "application/yaml"}
	if got, err := Negotiate(r, Objects(true, true)); err != nil || got.Media != YAML {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBodyMedia(t *testing.T) {
	for _, tt := range []struct {
		header   string
		accepted []string
		want     string // "": 415
	}{
		{"", MediaTypes, JSON},
		{"application/json", MediaTypes, JSON},
		{"Application/JSON; charset=utf-8", MediaTypes, JSON},
		{"application/yaml", MediaTypes, YAML},
		{"application/vnd.kubernetes.protobuf", MediaTypes, Protobuf},
		{"application/vnd.kubernetes.protobuf", MediaTypes[:2], ""},
		{"application/merge-patch+json", MediaTypes, ""},
		{"application/cbor", MediaTypes, ""},
		{"application/*", MediaTypes, ""},
		{"application/json, application/yaml", MediaTypes, ""},
		{"text/plain", MediaTypes, ""},
		{";", MediaTypes, ""},
	} {
		t.Run(tt.header, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodPost, "/", nil)
			r.Header.Set("Content-Type", tt.header)
			got, err := BodyMedia(r, Offer{Media: tt.accepted})
			if tt.want == "" {
				wantMediaError(t, err, http.StatusUnsupportedMediaType, metav1.StatusReasonUnsupportedMediaType,
					"the body of the request was in an unknown format - accepted media types include: "+strings.Join(tt.accepted, ", "))
				return
			}
			if err != nil || got != tt.want {
				t.Errorf("got %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

func TestWantsPretty(t *testing.T) {
	for _, tt := range []struct {
		query, agent string
		want         bool
	}{
		{"", "", false},
		{"", "kubectl/v1.37.0", false},
		{"", "curl/8.5.0", true},
		{"", "Wget/1.21", true},
		{"", "Mozilla/5.0 (X11)", true},
		{"pretty=true", "kubectl/v1.37.0", true},
		{"pretty=1", "", true},
		{"pretty=false", "curl/8.5.0", false},
		{"pretty=maybe", "curl/8.5.0", false},
		{"pretty=", "curl/8.5.0", true},
		{"labelSelector=pretty", "", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/?"+tt.query, nil)
		r.Header.Set("User-Agent", tt.agent)
		if got := WantsPretty(r); got != tt.want {
			t.Errorf("?%s of %q: %t", tt.query, tt.agent, got)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	for _, tt := range []struct {
		headers []string
		want    bool
	}{
		{nil, false},
		{[]string{"gzip"}, true},
		{[]string{"deflate, gzip"}, true},
		{[]string{"deflate", "br, gzip;q=0.5"}, true},
		{[]string{"gzip; q=0"}, false},
		{[]string{"gzip;q=0.000"}, false},
		{[]string{"gzip;q=0.001"}, true},
		{[]string{"xgzip"}, false},
		{[]string{"identity"}, false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header["Accept-Encoding"] = tt.headers
		if got := AcceptsGzip(r); got != tt.want {
			t.Errorf("%q: %t", tt.headers, got)
		}
	}
}
