package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/apiserver/pkg/endpoints/request"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/klog/v2"
)

// badSelector has upstream's library read a request whose selector is none.
func badSelector(t *testing.T) {
	info := request.RequestInfoFactory{APIPrefixes: sets.NewString("api"), GrouplessAPIPrefixes: sets.NewString("api")}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/v1/pods?fieldSelector=metadata.name", http.NoBody)
	if _, err := info.NewRequestInfo(r); err != nil {
		t.Error(err)
	}
}

func TestBridge(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	for _, tt := range []struct {
		name  string
		level slog.Level
		say   func()
		want  string
	}{
		{"an error is a warning", slog.LevelInfo, func() { klog.ErrorS(errors.New("bad"), "Unable to write", "request", "q") },
			"level=WARN msg=\"Unable to write\" err=bad request=q\n"},
		{"a client's error is not the server's", slog.LevelDebug, func() { badSelector(t) }, ""},
		{"unstructured", slog.LevelInfo, func() { klog.Errorf("watch %d", 1) }, "level=WARN msg=\"watch 1\"\n"},
		{"with values", slog.LevelInfo, func() {
			klog.LoggerWithValues(klog.Background(), "k", "v").Error(nil, "lost")
		}, "level=WARN msg=lost k=v\n"},
		{"a closed connection", slog.LevelInfo, func() {
			klog.ErrorS(&net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}, "Error on socket receive")
		}, ""},
		{"a webhook that fails", slog.LevelInfo, func() {
			klog.Warningf("Failed calling webhook, failing closed %v: %v", "x.example", errors.New("down"))
			utilruntime.HandleError(&webhookutil.ErrCallingWebhook{WebhookName: "x.example", Reason: errors.New("down")})
		}, ""},
		{"a webhook that denies", slog.LevelInfo, func() { klog.Warningf("rejected by webhook %q: %v", "x.example", errors.New("no")) }, ""},
		{"information", slog.LevelDebug, func() { klog.InfoS("hello"); klog.V(4).InfoS("details") }, ""},
		{"below the process's level", slog.LevelError, func() { klog.ErrorS(errors.New("bad"), "x") }, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			bridge(slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: tt.level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})))
			tt.say()
			if got := out.String(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
