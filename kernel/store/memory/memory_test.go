package memory_test

import (
	"errors"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/store/storetest"
)

func TestSuite(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store {
		s := memory.New()
		t.Cleanup(func() { s.Close() })
		return s
	})
}

func TestCloseEndsEverything(t *testing.T) {
	s := memory.New()
	w := s.Watch(t.Context(), "", 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range w.Batches() {
		t.Error("a closed store sent a batch")
	}
	if !errors.Is(w.Err(), store.ErrUnavailable) {
		t.Errorf("watch: got %v", w.Err())
	}
	if _, err := s.Revision(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("revision: got %v", err)
	}
	if _, err := s.Commit(t.Context(), []store.Op{{Key: "/a", Expect: store.Any}}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("commit: got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
}
