package embed_test

import (
	"bytes"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

// BenchmarkCommit writes objects of 2 KiB. An operation is one object.
func BenchmarkCommit(b *testing.B) {
	for _, fsync := range []bool{true, false} {
		for _, c := range []struct{ writers, batch int }{{1, 1}, {64, 1}, {4, 100}, {1, 500}} {
			b.Run(fmt.Sprintf("fsync=%v/writers=%d/batch=%d", fsync, c.writers, c.batch), func(b *testing.B) {
				s, err := embed.Start(b.Context(), embed.Config{Dir: b.TempDir(), UnsafeNoFsync: !fsync})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				commit(b, s.Store(), c.writers, c.batch)
			})
		}
	}
}

func commit(b *testing.B, s store.Store, writers, batch int) {
	value := bytes.Repeat([]byte("v"), 2048)
	var next atomic.Int64
	done := make(chan error)
	b.ResetTimer()
	for range writers {
		go func() {
			ops := make([]store.Op, batch)
			for {
				n := next.Add(int64(batch))
				if n > int64(b.N+batch-1) {
					done <- nil
					return
				}
				for i := range ops {
					ops[i] = store.Op{Key: fmt.Sprintf("/k/%d", n+int64(i)), Value: value, Expect: store.Absent}
				}
				if _, err := s.Commit(b.Context(), ops); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "objects/s")
}

// BenchmarkRevision is the linearizable read behind every consistent list.
func BenchmarkRevision(b *testing.B) {
	s, err := embed.Start(b.Context(), embed.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	st := s.Store()
	for b.Loop() {
		if _, err := st.Revision(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStart(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		s, err := embed.Start(b.Context(), embed.Config{Dir: dir})
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
