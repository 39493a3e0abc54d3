package negotiation

import (
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Streams are the media types of streams of watch events.
var Streams = []string{JSON + ";stream=watch", Protobuf + ";stream=watch"}

// Listed are the media types of routes that list and watch.
var Listed = append(slices.Clone(MediaTypes), Streams...)

// routes tells whether a header names one of the media types of a route, as
// upstream's router compares them: without parameters, and "*/*" is its only
// pattern.
func routes(header string, media []string) bool {
	for name := range strings.SplitSeq(header, ",") {
		name, _, _ = strings.Cut(name, ";")
		if name = strings.Trim(name, " "); name == "*/*" || slices.Contains(media, name) {
			return true
		}
	}
	return false
}

// RouteAccept refuses, as upstream's router does, a client that takes none of the
// media types of a route.
//
// # Errors
//   - 406
func RouteAccept(r *http.Request, media []string) error {
	header := strings.Join(r.Header.Values("Accept"), ",")
	if header == "" || routes(header, media) {
		return nil
	}
	return unroutable(media)
}

func unroutable(media []string) error {
	return routerError(http.StatusNotAcceptable, "406: Not Acceptable\n\nAvailable representations: "+strings.Join(media, ", "))
}

// RouteBody refuses, as upstream's router does, a body whose Content-Type names
// none of the media types of a route. Without a Content-Type, who reads is let
// through.
//
// # Errors
//   - 415
func RouteBody(r *http.Request, media []string) error {
	header := r.Header.Get("Content-Type")
	if header == "" {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete, http.MethodTrace:
			return nil
		}
		header = "application/octet-stream"
	}
	for name := range strings.SplitSeq(header, ",") {
		name, _, _ = strings.Cut(name, ";")
		if slices.Contains(media, strings.Trim(name, " ")) {
			return nil
		}
	}
	return routerError(http.StatusUnsupportedMediaType, "415: Unsupported Media Type")
}

func routerError(code int, text string) error {
	return apierrors.NewGenericServerResponse(code, "", schema.GroupResource{}, "", text, 0, false)
}
