package maintain_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/maintain"
)

// TestSlowSnapshot has a client take a snapshot without reading it: the database
// answers all the same, and is repaired when it is full.
func TestSlowSnapshot(t *testing.T) {
	s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true, Quota: 40 * mib, History: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	put := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		_, err := s.Store().Commit(ctx, []store.Op{{Key: "/big", Value: make([]byte, mib), Expect: store.Any}})
		return err
	}
	for range 20 { // more than what connections buffer
		if err := put(); err != nil {
			t.Fatal(err)
		}
	}
	k := maintain.New(maintain.Config{DB: s, Revision: s.Store().Revision})
	srv := httptest.NewServer(k.Handlers()[maintain.SnapshotPath])
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if _, err := io.ReadFull(res.Body, make([]byte, 1)); err != nil { // it has begun
		t.Fatal(err)
	}
	reclaimed := make(chan error, 1)
	go func() { _, err := k.Reclaim(t.Context()); reclaimed <- err }()
	select {
	case err := <-reclaimed:
		if !errors.Is(err, maintain.ErrSnapshot) {
			t.Errorf("reclaimed while a snapshot is taken: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("reclaiming waits for the snapshot's client")
	}
	for err = put(); err == nil; err = put() {
	}
	if !errors.Is(err, store.ErrNoSpace) {
		t.Fatalf("filling the database: %v", err)
	}
	if _, err := k.Reclaim(t.Context()); err != nil {
		t.Errorf("reclaim a full database: %v", err)
	}
	if err := put(); err != nil {
		t.Errorf("after that: %v", err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err == nil {
		t.Error("the client takes a part of a snapshot for the whole")
	}
	again, err := http.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Body.Close()
	if _, err := io.Copy(io.Discard, again.Body); err != nil || again.StatusCode != http.StatusOK {
		t.Errorf("the next snapshot: %s, %v", again.Status, err)
	}
}
