package admit

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
)

func TestAwait(t *testing.T) {
	want := wire.GetRequest{Resource: "v1/serviceaccounts", Namespace: "ns", Name: "default"}
	list := []wire.GetRequest{want}
	t.Run("it appears", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			at := time.Now().Add(300 * time.Millisecond)
			w := newWaits(func(_ context.Context, q wire.GetRequest) bool { return q == want && !time.Now().Before(at) }, nil)
			if !w.until(t.Context(), list) || time.Now().After(at.Add(lookAgain)) {
				t.Errorf("not seen %s after it appeared", time.Since(at))
			}
		})
	})
	t.Run("it does not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			there := false
			w := newWaits(func(context.Context, wire.GetRequest) bool { return there }, nil)
			begin := time.Now()
			if w.until(t.Context(), list) || time.Since(begin) != maxAwait {
				t.Errorf("gave up after %s, want %s", time.Since(begin), maxAwait)
			}
			// The hundreds of pods behind this one are not held as well.
			begin = time.Now()
			if w.until(t.Context(), list) || time.Since(begin) != 0 {
				t.Errorf("waited %s again", time.Since(begin))
			}
			time.Sleep(inVain)
			there = true
			if !w.until(t.Context(), list) {
				t.Error("never waited for again")
			}
		})
	})
	t.Run("the request ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWaits(func(context.Context, wire.GetRequest) bool { return false }, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if w.until(ctx, list) {
				t.Error("found")
			}
			if w.worthwhile(list) == nil {
				t.Error("a wait that was cut short counts as in vain")
			}
		})
	})
}
