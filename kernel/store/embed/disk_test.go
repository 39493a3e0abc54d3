package embed_test

import (
	"errors"
	"testing"
	"time"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// TestFullDisk writes until the disk is full, which the member reports. What a
// server does then is tried in internal/faults.
func TestFullDisk(t *testing.T) {
	dir := testenv.SmallDisk(t, "160m")
	s, err := embed.Start(t.Context(), embed.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	st, acked := s.Store(), 0
	failed := make(chan error, 1)
	go func() { failed <- <-s.Err() }()
	for fault := error(nil); fault == nil; {
		done := make(chan error, 1)
		go func() {
			_, err := st.Commit(t.Context(), []store.Op{{Key: "/big", Value: make([]byte, 1<<20), Expect: store.Any}})
			done <- err
		}()
		select {
		case err := <-done:
			if err == nil {
				acked++
			}
		case fault = <-failed:
			if !errors.Is(fault, store.ErrNoSpace) {
				t.Fatalf("a full disk is reported as %v", fault)
			}
		case <-time.After(time.Minute):
			t.Fatal("a full disk is not reported")
		}
	}
	_ = s.Close() // it may say that it cannot
	if acked == 0 {
		t.Error("nothing was written")
	}
}
