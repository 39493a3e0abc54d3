package faults

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
)

var (
	duration = flag.Duration("for", 4*time.Second, "how long each kind of fault goes on in TestFaults; at most two minutes, or history is compacted")
	seed     = flag.Uint64("seed", uint64(time.Now().UnixNano()), "what clients and faults draw from")
)

// embedded reads the data of a server that has ended.
func embedded(dir string) func(*testing.T) store.Store {
	return func(t *testing.T) store.Store {
		t.Helper()
		s, err := embed.Start(t.Context(), embed.Config{Dir: filepath.Join(dir, "etcd"), UnsafeNoFsync: true, History: -1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s.Store()
	}
}

// pause waits a random while; false when the time for faults is over.
func (r *run) pause(ctx context.Context, least, most time.Duration) bool {
	select {
	case <-time.After(least + time.Duration(r.rand.Int64N(int64(most-least)))):
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// TestFaults has clients write, read, list and watch while something breaks
// over and over.
func TestFaults(t *testing.T) {
	t.Run("server killed", func(t *testing.T) {
		s := newServer(t, t.TempDir())
		r := newRun(t, s, embedded(s.dir))
		r.during(func(ctx context.Context) {
			for kills := 0; r.pause(ctx, 200*time.Millisecond, 2*time.Second) || kills == 0; kills++ {
				s.kill()
				s.start()
			}
		})
	})
	t.Run("links cut", func(t *testing.T) {
		s := newServer(t, t.TempDir())
		r := newRun(t, s, embedded(s.dir))
		r.during(func(ctx context.Context) {
			for r.pause(ctx, 20*time.Millisecond, 400*time.Millisecond) {
				switch l := r.links[r.rand.IntN(len(r.links))]; r.rand.IntN(4) {
				case 0:
					l.reset()
				case 1:
					l.cut()
				case 2:
					l.silence()
				default:
					l.heal()
				}
			}
		})
	})
	t.Run("disk full", func(t *testing.T) {
		disk := testenv.SmallDisk(t, "400m")
		s := newServer(t, filepath.Join(disk, "data"))
		r := newRun(t, s, embedded(s.dir))
		filler := filepath.Join(disk, "filler")
		r.during(func(ctx context.Context) {
			for fills := 0; r.pause(ctx, 500*time.Millisecond, 2*time.Second) || fills == 0; fills++ {
				fill(t, filler)
				n := 0
				wait(t, "the server ends", func() error { // space that is laid out already lasts for a while
					if !errors.Is(s.end(0), errRuns) {
						return nil
					}
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					n++
					_ = big(ctx, s.client(), fmt.Sprint("ballast-", fills, "-", n))
					return errRuns
				})
				if err := os.Remove(filler); err != nil {
					t.Error(err)
				}
				s.start()
			}
		})
	})
	t.Run("etcd member killed", func(t *testing.T) {
		m := newMembers(t, 3)
		s := newServer(t, t.TempDir(), m.flags()...)
		r := newRun(t, s, m.store)
		r.during(func(ctx context.Context) {
			for kills := 0; r.pause(ctx, 200*time.Millisecond, 2*time.Second) || kills == 0; kills++ {
				n := r.rand.IntN(len(m.list))
				m.kill(n)
				r.pause(ctx, 100*time.Millisecond, 2*time.Second)
				m.start(n)
			}
		})
	})
}
