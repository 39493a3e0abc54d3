package fairness

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/apiserver/pkg/util/flowcontrol"
)

// BenchmarkTurn is what it costs that a turn can end before its request: the library
// called alone, and through a Turn.
func BenchmarkTurn(b *testing.B) {
	f := New(Config{Seats: 600, Size: func(schema.GroupResource) (int, int, bool) { return 0, 0, false }})
	info := &request.RequestInfo{Verb: "get", Path: "/version"}
	u := &user.DefaultInfo{Name: "u", Groups: []string{user.AllAuthenticated}}
	ctx := request.WithUser(request.WithRequestInfo(context.Background(), info), u)
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/version", nil)
	for _, name := range []string{"library", "turn", "library", "turn", "library", "turn"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if name == "turn" {
					t := f.Begin(r)
					if !t.Served() {
						b.Fatal("refused")
					}
					t.End()
					continue
				}
				t, ran := &Turn{control: f, request: r, gauges: gaugesOf(info.Verb)}, false
				ctx, cancel := f.waiting(ctx)
				f.library.Handle(ctx, flowcontrol.RequestDigest{RequestInfo: info, User: u}, t.sorted, t.work, t.queued, func() { ran = true })
				cancel()
				if !ran {
					b.Fatal("refused")
				}
			}
		})
	}
}
