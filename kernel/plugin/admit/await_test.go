package admit

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
)

func until(t *testing.T, w *waits, list []wire.GetRequest) bool {
	t.Helper()
	there, err := w.until(t.Context(), list)
	if err != nil {
		t.Error(err)
	}
	return there
}

func TestAwait(t *testing.T) {
	want := wire.GetRequest{Resource: "v1/serviceaccounts", Namespace: "ns", Name: "default"}
	list := []wire.GetRequest{want}
	t.Run("it appears", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			at := time.Now().Add(300 * time.Millisecond)
			w := newWaits(func(_ context.Context, q wire.GetRequest) (bool, error) {
				return q == want && !time.Now().Before(at), nil
			}, nil)
			if !until(t, w, list) || time.Now().After(at.Add(lookAgain)) {
				t.Errorf("not seen %s after it appeared", time.Since(at))
			}
		})
	})
	t.Run("it does not", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			there := false
			w := newWaits(func(context.Context, wire.GetRequest) (bool, error) { return there, nil }, nil)
			begin := time.Now()
			if until(t, w, list) || time.Since(begin) != maxAwait {
				t.Errorf("gave up after %s, want %s", time.Since(begin), maxAwait)
			}
			// The hundreds of pods behind this one are not held as well.
			begin = time.Now()
			if until(t, w, list) || time.Since(begin) != 0 {
				t.Errorf("waited %s again", time.Since(begin))
			}
			time.Sleep(inVain)
			there = true
			if !until(t, w, list) {
				t.Error("never waited for again")
			}
		})
	})
	t.Run("it is nobody's business", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			w := newWaits(func(context.Context, wire.GetRequest) (bool, error) { return false, wire.ErrForbidden }, nil)
			if there, err := w.until(t.Context(), list); there || !errors.Is(err, wire.ErrForbidden) || time.Since(begin) != 0 {
				t.Errorf("%v, %v after %s", there, err, time.Since(begin))
			}
		})
	})
	t.Run("the request ends", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWaits(func(context.Context, wire.GetRequest) (bool, error) { return false, nil }, nil)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			if there, err := w.until(ctx, list); there || err != nil {
				t.Error("found")
			}
			if w.worthwhile(list) == nil {
				t.Error("a wait that was cut short counts as in vain")
			}
		})
	})
}
