package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"testing"

	"k8s.io/klog/v2"
)

func TestBridge(t *testing.T) {
	t.Cleanup(klog.ClearLogger)
	for _, tt := range []struct {
		name  string
		level slog.Level
		say   func()
		want  string
	}{
		{"an error is a warning", slog.LevelInfo, func() { klog.ErrorS(errors.New("bad"), "Couldn't parse request", "request", "q") },
			"level=WARN msg=\"Couldn't parse request\" err=bad request=q\n"},
		{"unstructured", slog.LevelInfo, func() { klog.Errorf("watch %d", 1) }, "level=WARN msg=\"watch 1\"\n"},
		{"with values", slog.LevelInfo, func() {
			klog.LoggerWithValues(klog.Background(), "k", "v").Error(nil, "lost")
		}, "level=WARN msg=lost k=v\n"},
		{"a closed connection", slog.LevelInfo, func() {
			klog.ErrorS(&net.OpError{Op: "read", Net: "tcp", Err: net.ErrClosed}, "Error on socket receive")
		}, ""},
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
