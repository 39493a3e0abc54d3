package informer_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/watch"
)

// script is a source whose lists and watches are written down. It notes when it
// is asked for what.
type script struct {
	lists   []any // *registry.List or error; the last one for ever
	watches []any // *scripted or error; the last one for ever

	mu    sync.Mutex
	start time.Time
	asked []string
}

func (s *script) note(format string, args ...any) {
	s.asked = append(s.asked, fmt.Sprintf("%5dms ", time.Since(s.start).Milliseconds())+fmt.Sprintf(format, args...))
}

func next(list *[]any) any {
	x := (*list)[0]
	if len(*list) > 1 {
		*list = (*list)[1:]
	}
	return x
}

func (s *script) List(context.Context, registry.Target, metav1.ListOptions) (*registry.List, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch x := next(&s.lists).(type) {
	case error:
		s.note("list: %v", x)
		return nil, x
	case *registry.List:
		s.note("list: at %d", x.Revision)
		return x, nil
	}
	panic("script")
}

func (s *script) Watch(ctx context.Context, _ registry.Target, o metav1.ListOptions) (registry.Watcher, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch x := next(&s.watches).(type) {
	case error:
		s.note("watch from %s: %v", o.ResourceVersion, x)
		return nil, x
	case *scripted:
		s.note("watch from %s", o.ResourceVersion)
		w := *x
		w.ctx = ctx
		return &w, nil
	}
	panic("script")
}

// scripted tells batches and then ends with err, or stays when that is nil.
type scripted struct {
	batches [][]watch.Event
	err     error
	ctx     context.Context
}

func (w *scripted) Next(ctx context.Context) ([]watch.Event, error) {
	if len(w.batches) > 0 {
		b := w.batches[0]
		w.batches = w.batches[1:]
		return append([]watch.Event(nil), b...), nil
	}
	if w.err != nil {
		return nil, w.err
	}
	<-w.ctx.Done()
	return nil, ctx.Err()
}

func (w *scripted) Events() <-chan watch.Event { panic("Next is cheaper") }
func (w *scripted) Err() error                 { return w.err }
func (w *scripted) Stop()                      {}

func object(name string, rev int64) *watch.Object {
	return &watch.Object{Key: name, Name: name, Revision: rev, Obj: &corev1.ConfigMap{}}
}

func modified(name string, rev int64) watch.Event {
	return watch.Event{Type: watch.Modified, Revision: rev, Object: object(name, rev)}
}

func bookmark(rev int64) watch.Event { return watch.Event{Type: watch.Bookmark, Revision: rev} }

func listAt(rev int64, objects ...*watch.Object) *registry.List {
	return &registry.List{Revision: rev, Items: objects}
}

var (
	errAway = errors.New("the store is away")
	expired = apierrors.NewResourceExpired("too old resource version")
	gone    = status.UnknownResource(configMaps.GroupResource())
	slow    = apierrors.NewTimeoutError("the watcher is too slow and was cut off", 1)
)

// What the log says of a watch that was cut off twice within a moment.
const (
	cutOff     = "level=WARN msg=\"following a resource is interrupted\" informer=test error=\"watch configmaps: Timeout: the watcher is too slow and was cut off\"\n"
	cutOffOver = "level=INFO msg=\"over: following a resource is interrupted\" informer=test failures=1\n"
)

// rounded leaves the times away: jitter is in them.
func rounded(lines []string) string {
	var b strings.Builder
	for _, l := range lines {
		var ms int
		rest := l
		if _, err := fmt.Sscanf(l, "%dms", &ms); err == nil {
			rest = strings.TrimSpace(l[strings.Index(l, "ms")+2:])
		}
		fmt.Fprintln(&b, rest)
	}
	return b.String()
}

func TestTransitions(t *testing.T) {
	a, b := object("a", 1), object("b", 2)
	tests := []struct {
		name   string
		script *script
		asked  string // of the source
		told   string // to the handler
		log    string
		paused time.Duration // at least, and at most a third more
		spread bool          // and up to firstPause more, so that not all list at once
	}{{
		name:   "a quiet watch stays",
		script: &script{lists: []any{listAt(5, a, b)}, watches: []any{&scripted{batches: [][]watch.Event{{modified("a", 6)}, {bookmark(9)}}}}},
		asked:  "list: at 5\nwatch from 5\n",
		told:   "ADDED a@1\nADDED b@2\nMODIFIED a@6\n",
	}, {
		name: "a watch that was cut off goes on behind what was told, at once",
		script: &script{lists: []any{listAt(5, a)}, watches: []any{
			&scripted{batches: [][]watch.Event{{modified("a", 6), modified("a", 7)}}, err: slow}, &scripted{batches: [][]watch.Event{{modified("a", 7)}, {modified("a", 8)}}}}},
		asked: "list: at 5\nwatch from 5\nwatch from 7\n",
		told:  "ADDED a@1\nMODIFIED a@6\nMODIFIED a@7\nMODIFIED a@8\n",
	}, {
		name: "a bookmark is where it goes on",
		script: &script{lists: []any{listAt(5)}, watches: []any{
			&scripted{batches: [][]watch.Event{{bookmark(50)}}, err: slow}, &scripted{}}},
		asked: "list: at 5\nwatch from 5\nwatch from 50\n",
	}, {
		name: "a revision that is gone is a new list, and what was missed is told",
		script: &script{lists: []any{listAt(5, a, b), listAt(9, object("b", 7))}, watches: []any{
			&scripted{batches: [][]watch.Event{{modified("a", 6)}}, err: expired}, &scripted{}}},
		asked:  "list: at 5\nwatch from 5\nlist: at 9\nwatch from 9\n",
		told:   "ADDED a@1\nADDED b@2\nMODIFIED a@6\nDELETED a@6\nMODIFIED b@7\n",
		spread: true,
	}, {
		name: "a quiet watch whose revision is gone is no fault, twice in a row it waits",
		script: &script{lists: []any{listAt(5), listAt(6), listAt(7)}, watches: []any{
			&scripted{err: expired}, expired, &scripted{}}},
		asked:  "list: at 5\nwatch from 5\nlist: at 6\nwatch from 6: too old resource version\nlist: at 7\nwatch from 7\n",
		log:    "level=WARN msg=\"following a resource is interrupted\" informer=test error=\"watch configmaps: too old resource version\"\n",
		paused: 75 * time.Millisecond,
		spread: true,
	}, {
		name:   "a kind that went is nobody's trouble",
		script: &script{lists: []any{gone, listAt(5, a)}, watches: []any{&scripted{err: gone}, gone, &scripted{}}},
		asked:  "list: the server could not find the requested resource\nlist: at 5\nwatch from 5\nwatch from 5: the server could not find the requested resource\nwatch from 5\n",
		told:   "ADDED a@1\n",
		paused: 525 * time.Millisecond, // three quarters of 100 + 200 + 400
	}, {
		name: "a watch that ends behind every event is not begun again at once each time",
		script: &script{lists: []any{listAt(5, a)}, watches: []any{
			&scripted{batches: [][]watch.Event{{modified("a", 6)}}, err: slow}, &scripted{batches: [][]watch.Event{{modified("a", 7)}}, err: slow},
			&scripted{batches: [][]watch.Event{{modified("a", 8)}}, err: slow}, &scripted{}}},
		asked:  "list: at 5\nwatch from 5\nwatch from 6\nwatch from 7\nwatch from 8\n",
		told:   "ADDED a@1\nMODIFIED a@6\nMODIFIED a@7\nMODIFIED a@8\n",
		log:    cutOff + cutOffOver + cutOff,
		paused: 150 * time.Millisecond,
	}, {
		name: "nor is a list made behind every event",
		script: &script{lists: []any{listAt(5, a), listAt(9, object("a", 8)), listAt(12, object("a", 11)), listAt(13, object("a", 11))}, watches: []any{
			&scripted{batches: [][]watch.Event{{modified("a", 6)}}, err: expired}, &scripted{batches: [][]watch.Event{{modified("a", 10)}}, err: expired}, &scripted{}}},
		asked:  "list: at 5\nwatch from 5\nlist: at 9\nwatch from 9\nlist: at 12\nwatch from 12\n",
		told:   "ADDED a@1\nMODIFIED a@6\nMODIFIED a@8\nMODIFIED a@10\nMODIFIED a@11\n",
		log:    "level=WARN msg=\"following a resource is interrupted\" informer=test error=\"watch configmaps: too old resource version\"\n",
		paused: 75 * time.Millisecond,
		spread: true,
	}, {
		name:   "lists that fail wait longer each time, and one line is told",
		script: &script{lists: []any{errAway, errAway, errAway, errAway, listAt(5)}, watches: []any{&scripted{batches: [][]watch.Event{{bookmark(6)}}}}},
		asked:  "list: the store is away\nlist: the store is away\nlist: the store is away\nlist: the store is away\nlist: at 5\nwatch from 5\n",
		log:    "level=WARN msg=\"following a resource is interrupted\" informer=test error=\"list configmaps: the store is away\"\nlevel=INFO msg=\"over: following a resource is interrupted\" informer=test failures=4\n",
		paused: 1125 * time.Millisecond, // three quarters of 100 + 200 + 400 + 800
	}, {
		name:   "a watch that cannot be begun is tried again from where it was",
		script: &script{lists: []any{listAt(5, a)}, watches: []any{errAway, errAway, &scripted{}}},
		asked:  "list: at 5\nwatch from 5: the store is away\nwatch from 5: the store is away\nwatch from 5\n",
		told:   "ADDED a@1\n",
		log:    "level=WARN msg=\"following a resource is interrupted\" informer=test error=\"watch configmaps: the store is away\"\n",
		paused: 225 * time.Millisecond,
	}}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := tt.script
				s.start = time.Now()
				var told, log bytes.Buffer
				d := informer.NewDiffer(func(e watch.Event) { fmt.Fprintf(&told, "%s %s@%d\n", e.Type, e.Object.Name, e.Object.Revision) })
				i := informer.New(informer.Config{Name: "test", Registry: s, Target: registry.Target{Resource: configMaps}, Handler: d, Log: plain(&log)})
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); i.Run(ctx) }()
				time.Sleep(time.Minute) // of the bubble's clock
				synctest.Wait()
				cancel()
				<-done
				if got := rounded(s.asked); got != tt.asked {
					t.Errorf("asked:\n%swant:\n%s", got, tt.asked)
				}
				if got := told.String(); got != tt.told {
					t.Errorf("told:\n%swant:\n%s", got, tt.told)
				}
				if got := log.String(); got != tt.log {
					t.Errorf("log:\n%swant:\n%s", got, tt.log)
				}
				var ms int
				fmt.Sscanf(s.asked[len(s.asked)-1], "%dms", &ms)
				most := tt.paused*4/3 + time.Millisecond
				if tt.spread {
					most += 100 * time.Millisecond
				}
				if got := time.Duration(ms) * time.Millisecond; got < tt.paused || got > most {
					t.Errorf("the last was asked after %s, want %s to %s", got, tt.paused, most)
				}
				if !i.HasSynced() {
					t.Error("it is not synced")
				}
			})
		})
	}
}

func plain(w *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// TestUpdates: a receiver that is slow holds its informer up, which reads no
// more meanwhile, and ends it with ctx.
func TestUpdates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var many []watch.Event
		for rev := range int64(600) {
			many = append(many, modified("a", 10+rev))
		}
		s := &script{lists: []any{listAt(5, object("a", 1))}, watches: []any{&scripted{batches: [][]watch.Event{many, {modified("a", 1000)}}}}}
		u := make(informer.Updates)
		i := informer.New(informer.Config{Registry: s, Target: registry.Target{Resource: configMaps}, Handler: u})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); i.Run(ctx) }()
		if x := <-u; !x.Replace || len(x.Objects) != 1 {
			t.Errorf("first came %+v", x)
		}
		for _, want := range []int{256, 256, 88} {
			if x := <-u; x.Replace || len(x.Events) != want {
				t.Errorf("%d events, want %d", len(x.Events), want)
			}
		}
		synctest.Wait()
		if got := i.Revision(); got != 609 {
			t.Errorf("at revision %d, want 609: the event that nobody took does not count", got)
		}
		cancel() // while it wants to send
		<-done
	})
}

func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := informer.NewMetrics()
		s := &script{lists: []any{errAway, listAt(5)}, watches: []any{&scripted{batches: [][]watch.Event{{modified("a", 7)}}, err: slow}, &scripted{}}}
		i := informer.New(informer.Config{Name: "test", Registry: s, Target: registry.Target{Resource: configMaps}, Handler: informer.NewDiffer(func(watch.Event) {}), Metrics: m})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); i.Run(ctx) }()
		time.Sleep(time.Minute)
		synctest.Wait()
		for name, want := range map[string]float64{"lists_total": 2, "watches_total": 2, "resumes_total": 1, "failures_total": 1, "revision": 7} {
			if got := value(t, m, "pintle_informer_"+name); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
		}
		if problems, err := testutil.CollectAndLint(m); err != nil || len(problems) > 0 {
			t.Error(problems, err)
		}
		cancel()
		<-done
		if n := testutil.CollectAndCount(m); n != 0 {
			t.Errorf("%d series of an informer that has ended", n)
		}
	})
}

func value(t *testing.T, c prometheus.Collector, name string) float64 {
	t.Helper()
	r := prometheus.NewRegistry()
	r.MustRegister(c)
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestListsAreSpread: informers whose revisions are gone at the same moment do not
// list at the same moment, and each counts it.
func TestListsAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := informer.NewMetrics()
		var all sync.WaitGroup
		ctx, cancel := context.WithCancel(t.Context())
		const n = 50
		scripts := make([]*script, n)
		for k := range scripts {
			s := &script{start: time.Now(), lists: []any{listAt(5), listAt(6)}, watches: []any{&scripted{err: expired}, &scripted{}}}
			scripts[k] = s
			i := informer.New(informer.Config{Name: "test", Registry: s, Target: registry.Target{Resource: configMaps}, Handler: informer.NewDiffer(func(watch.Event) {}), Metrics: m})
			all.Go(func() { i.Run(ctx) })
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		at := map[string]bool{}
		for _, s := range scripts {
			at[strings.Fields(s.asked[2])[0]] = true
		}
		if len(at) < n/4 {
			t.Errorf("%d informers listed at %d moments", n, len(at))
		}
		if got := value(t, m, "pintle_informer_failures_total"); got != n {
			t.Errorf("%v failures, want %d", got, n)
		}
		cancel()
		all.Wait()
	})
}
