package watch

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"

	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch/encodings"
	"github.com/pintle-io/pintle/kernel/watch/intern"
	"github.com/pintle-io/pintle/kernel/watch/primed"
)

// decoder makes objects of what the store has. It remembers what cannot be
// decoded, and what writers deposited so that it need not be.
type decoder struct {
	convert func(d *resource.Definition, value []byte, rev int64) (kruntime.Object, error) // Config.Decode
	pool    *encodings.Pool                                                                // of the objects that it makes
	clock   clock.Clock
	log     *slog.Logger

	primed   primed.Set[*Object]
	failures failures
	sets     intern.FieldSets

	hits, decoded atomic.Int64 // objects that a writer had deposited; that were decoded
}

// prime keeps an object whose event is to come: see Cache.Prime.
func (d *decoder) prime(layout *layout, key string, rev int64, obj kruntime.Object) *Object {
	states, namespace, name := layout.route(key)
	if states == nil {
		return nil
	}
	d.sets.Share(obj)
	o := &Object{Key: key, Namespace: namespace, Name: name, Revision: rev, Obj: obj, pool: d.pool}
	if len(states) > 1 || d.primed.Put(key, rev, o) {
		return o
	}
	s := states[0]
	s.mu.RLock()
	defer s.mu.RUnlock()
	if held, ok := s.objects.Get(o); ok && held.Revision == rev {
		return held
	}
	return o
}

// events appends the changes that a batch means to the resources. An
// object that cannot be decoded is left as it was: taking it away would make
// others act on its absence.
func (d *decoder) events(layout *layout, events []store.Event, changes []change) []change {
	type job struct {
		change          int
		kv              *store.KV
		namespace, name string
	}
	var jobs []job
	for i := range events {
		kv := &events[i].KV
		states, namespace, name := layout.route(kv.Key)
		for _, s := range states {
			if !s.following {
				continue
			}
			if !events[i].Delete {
				jobs = append(jobs, job{len(changes), kv, namespace, name})
			} else {
				d.failures.forget(s.resource, kv.Key)
			}
			changes = append(changes, change{state: s, key: kv.Key, revision: kv.ModRevision})
		}
	}
	now := d.clock.Now()
	parallel(len(jobs), func(i int) {
		j := &jobs[i]
		ch := &changes[j.change]
		if len(layout.prefixes[ch.state.prefix]) == 1 && !now.Before(ch.state.doubted) {
			ch.object = d.primed.Get(j.kv.Key, j.kv.ModRevision)
		}
		if ch.object != nil {
			ch.object.stored = len(j.kv.Value)
			d.hits.Add(1)
			d.failures.forget(ch.state.resource, ch.key)
			return
		}
		if ch.object = d.decode(ch.state, j.kv, j.namespace, j.name); ch.object == nil {
			ch.key = "" // not a deletion: no change at all
		}
	})
	kept := changes[:0]
	for _, ch := range changes {
		if ch.key != "" {
			kept = append(kept, ch)
		}
	}
	return kept
}

// decode makes an Object of a stored value; nil if that fails, which is noted.
func (d *decoder) decode(s *state, kv *store.KV, namespace, name string) *Object {
	obj, err := d.converted(s.definition.Load(), kv)
	d.decoded.Add(1)
	if err != nil {
		if d.failures.note(Failure{s.resource, kv.Key, kv.ModRevision, err}) {
			d.log.Error("stored object cannot be decoded", "resource", s.resource, "key", kv.Key, "rv", kv.ModRevision, "error", err)
		}
		return nil
	}
	d.failures.forget(s.resource, kv.Key)
	d.sets.Share(obj)
	return &Object{Key: kv.Key, Namespace: namespace, Name: name, Revision: kv.ModRevision, Obj: obj, stored: len(kv.Value), pool: d.pool}
}

// converted asks the kind, whose panic is an error like another: here are goroutines
// of the cache, and one object must not end the server at each of its starts.
func (d *decoder) converted(def *resource.Definition, kv *store.KV) (obj kruntime.Object, err error) {
	if kv.Err != nil {
		return nil, kv.Err
	}
	defer func() {
		if p := recover(); p != nil {
			obj, err = nil, fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return d.convert(def, kv.Value, kv.ModRevision)
}

// worthwhile is how many calls it takes to make goroutines pay.
const worthwhile = 64

// parallel calls fn(0) to fn(n-1), from several goroutines if there are many.
func parallel(n int, fn func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n/(worthwhile/2))
	if n < worthwhile || workers < 2 {
		for i := range n {
			fn(i)
		}
		return
	}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := w * n / workers; i < (w+1)*n/workers; i++ {
				fn(i)
			}
		})
	}
	wg.Wait()
}
