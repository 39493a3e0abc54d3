package watch

import "testing"

// TestHistoryShared: whoever asks after the floor must learn whether he may
// have missed an event of that revision, however the log came to forget.
func TestHistoryShared(t *testing.T) {
	events := func(h *history, revisions ...int64) {
		for _, r := range revisions {
			h.add(Event{Type: Added, Revision: r, Object: &Object{}})
		}
	}
	for _, c := range []struct {
		name      string
		limit     int
		revisions []int64
		drop      int
		floor     int64
		shared    bool
		kept      int
	}{
		{"nothing forgotten", 8, []int64{1, 2, 3}, 0, 0, false, 3},
		{"one of one", 8, []int64{1, 2, 3}, 1, 1, false, 2},
		{"one of two", 8, []int64{1, 1, 3}, 1, 1, true, 2},
		{"both of two", 8, []int64{1, 1, 3}, 2, 1, true, 1},
		{"all", 8, []int64{1, 2, 3}, 3, 3, false, 0},
		{"no room but for one", 1, []int64{1, 2, 3}, 0, 2, false, 1},
		{"no room within a revision", 1, []int64{1, 2, 2}, 0, 2, true, 1},
		{"no room behind a revision", 2, []int64{1, 1, 2, 3}, 0, 1, true, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &history{limit: c.limit}
			events(h, c.revisions...)
			for range c.drop {
				h.drop()
			}
			h.shrink()
			if h.floor != c.floor || h.shared != c.shared || h.len != c.kept {
				t.Errorf("floor %d, shared %t, %d events; want %d, %t, %d", h.floor, h.shared, h.len, c.floor, c.shared, c.kept)
			}
		})
	}
}

// TestHistoryRing: a ring that grew in a storm gives its memory back, with what
// it still holds in order.
func TestHistoryRing(t *testing.T) {
	h := &history{limit: 8192}
	for r := range int64(6000) {
		h.add(Event{Type: Added, Revision: r + 1, Object: &Object{}})
	}
	for range 5990 {
		h.drop()
	}
	h.shrink()
	if len(h.ring) > smallRing {
		t.Errorf("a ring of %d for %d events", len(h.ring), h.len)
	}
	got, ok := h.after(5995)
	if !ok || len(got) != 5 || got[0].Revision != 5996 || got[4].Revision != 6000 {
		t.Errorf("got %d events, %t", len(got), ok)
	}
	if _, ok := h.after(5989); ok {
		t.Error("forgotten events are answered")
	}
	for range 10 {
		h.drop()
	}
	if h.shrink(); h.ring != nil || h.bytes != 0 {
		t.Errorf("an empty history keeps a ring of %d and %d bytes", len(h.ring), h.bytes)
	}
}
