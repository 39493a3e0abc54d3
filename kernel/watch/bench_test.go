package watch_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

// cpu is the time that this process has spent so far.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// read counts what a watcher receives until it is stopped.
func read(b *testing.B, c *watch.Cache, f watch.Filter, wg *sync.WaitGroup, received *atomic.Int64) *watch.Watcher {
	w, err := c.Watch(pods, 0, f)
	if err != nil {
		b.Fatal(err)
	}
	wg.Go(func() {
		for {
			events, err := w.Next(b.Context())
			if err != nil {
				return
			}
			received.Add(int64(len(events)))
		}
	})
	return w
}

// BenchmarkFanout: 100 watchers of everything; an operation is 1,000 updates
// seen by all of them.
func BenchmarkFanout(b *testing.B) {
	stores := map[string]func() store.Store{
		"memory": memory.New,
		"etcd": func() store.Store {
			s, err := embed.Start(b.Context(), embed.Config{Dir: b.TempDir(), UnsafeNoFsync: true})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s.Store()
		},
	}
	for name, open := range stores {
		for _, perCommit := range []int{1, 100} {
			b.Run(fmt.Sprintf("%s/%d", name, perCommit), func(b *testing.B) { fanout(b, open(), perCommit) })
		}
	}
}

func fanout(b *testing.B, s store.Store, perCommit int) {
	const watchers, updates = 100, 1000
	c := run(b, watch.Config{Store: s})
	var wg sync.WaitGroup
	var received atomic.Int64
	for range watchers {
		defer read(b, c, watch.Filter{}, &wg, &received).Stop()
	}
	value := encode(b, pod("a", "x", "n1", map[string]string{"app": string(make([]byte, 1500))}))
	ops := make([]store.Op, perCommit)
	var sent int64
	before, start := cpu(), time.Now()
	for b.Loop() {
		for i := 0; i < updates; i += perCommit {
			for j := range ops {
				ops[j] = store.Op{Key: fmt.Sprintf("/registry/pods/a/%d", (i+j)%200), Value: value, Expect: store.Any}
			}
			if _, err := s.Commit(b.Context(), ops); err != nil {
				b.Fatal(err)
			}
		}
		for sent += watchers * updates; received.Load() < sent; {
			time.Sleep(100 * time.Microsecond)
		}
	}
	b.ReportMetric(float64(sent)/time.Since(start).Seconds(), "events/s")
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/float64(sent), "cpu-ns/event")
}

// BenchmarkNarrow: 5,000 watchers of one node each; an operation is a change of
// one pod, which concerns one of them.
func BenchmarkNarrow(b *testing.B) {
	s := memory.New()
	c := run(b, watch.Config{Store: s})
	var wg sync.WaitGroup
	var received atomic.Int64
	for i := range 5000 {
		defer read(b, c, watch.Filter{Field: "spec.nodeName", Value: fmt.Sprint("n", i)}, &wg, &received).Stop()
	}
	value := encode(b, pod("a", "x", "n77", nil))
	for b.Loop() {
		rev := commit(b, s, store.Op{Key: "/registry/pods/a/x", Value: value, Expect: store.Any})
		if err := c.WaitFor(b.Context(), rev); err != nil {
			b.Fatal(err)
		}
	}
}

// objects fills a store.
func objects(b *testing.B, n int) store.Store {
	s := memory.New()
	for i := 0; i < n; i += 500 {
		ops := make([]store.Op, 500)
		for j := range ops {
			name := fmt.Sprintf("p%05d", i+j)
			ops[j] = store.Op{Key: "/registry/pods/default/" + name, Value: encode(b, pod("default", name, "n1", map[string]string{"app": string(make([]byte, 1500))})), Expect: store.Any}
		}
		commit(b, s, ops...)
	}
	return s
}

func BenchmarkSnapshot10000(b *testing.B) {
	s := objects(b, 10_000)
	c := run(b, watch.Config{Store: s})
	b.Run("unchanged", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Snapshot(pods)
		}
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			items := make([]*watch.Object, 0, 10_000)
			c.Snapshot(pods).Ascend("", "", func(o *watch.Object) bool {
				items = append(items, o)
				return true
			})
			if len(items) != 10_000 {
				b.Fatal(len(items))
			}
		}
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if c.Get(pods, "default", "p05000") == nil {
				b.Fatal("lost")
			}
		}
	})
	value := encode(b, pod("default", "p05000", "n1", nil))
	update := func(b *testing.B) {
		rev := commit(b, s, store.Op{Key: "/registry/pods/default/p05000", Value: value, Expect: store.Any})
		if err := c.WaitFor(b.Context(), rev); err != nil {
			b.Fatal(err)
		}
	}
	b.Run("update", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			update(b)
		}
	})
	b.Run("update and snapshot", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			update(b)
			c.Snapshot(pods)
		}
	})
}

func BenchmarkLoad10000(b *testing.B) {
	s := objects(b, 10_000)
	for b.Loop() {
		_, stop := runUntil(b, watch.Config{Store: s})
		stop()
	}
}
