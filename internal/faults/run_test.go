package faults

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/pintle-io/pintle/internal/history"
	"github.com/pintle-io/pintle/kernel/store"
)

// record is a run as it is kept: what every client asked and was told, and what
// the store did.
type record struct {
	Ops      []op
	End      time.Duration
	Watchers map[string][]history.Step // by selection and number
	Truth    history.Truth
}

// run is a server with clients.
type run struct {
	t      *testing.T
	server *server
	links  []*link
	rec    *recorder
	rand   *rand.Rand
	// truth reads what the store did, once the server has ended.
	truth func(t *testing.T) store.Store
}

// newRun starts the server of a run.
func newRun(t *testing.T, s *server, truth func(t *testing.T) store.Store) *run {
	s.start()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if _, err := s.client().CoreV1().Namespaces().Create(t.Context(), ns, metav1.CreateOptions{}); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	t.Logf("seed %d", *seed)
	return &run{t: t, server: s, truth: truth, rec: &recorder{begin: time.Now()}, rand: rand.New(rand.NewPCG(*seed, 0))}
}

// Clients of a run.
const (
	writers     = 5
	perSelected = 1 // watchers of each selection
)

// during has the clients work while break breaks things, for as long as -for
// says, and then finds out whether all went well.
func (r *run) during(breaks func(ctx context.Context)) {
	t := r.t
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	watching, stopWatching := context.WithCancel(t.Context())
	defer stopWatching()
	var writing, watched sync.WaitGroup
	for i := range writers {
		w := &writer{id: i, rec: r.rec, api: connect(t, r.server, r.link()), rand: r.source()}
		writing.Go(func() { w.run(ctx) })
	}
	watchers := map[string]*watcher{}
	for name, sel := range selections {
		for i := range perSelected {
			w := &watcher{sel: sel, api: connect(t, r.server, r.link()), rand: r.source(), seen: map[string]bool{}}
			watchers[fmt.Sprint(name, "/", i)] = w
			watched.Go(func() { w.run(watching) })
		}
	}
	breaking, stop := context.WithTimeout(ctx, *duration)
	breaks(breaking)
	stop()
	cancel()
	writing.Wait()
	for _, l := range r.links {
		l.heal()
	}
	r.server.ready()
	// What does not come to an end is judged all the same.
	last, err := r.final()
	for name, w := range watchers {
		if err != nil {
			break
		}
		err = try("watcher of "+name+" is told the end", func() error {
			if name := strings.SplitN(name, "/", 2)[0]; !w.has(last[name]) {
				return fmt.Errorf("mark %s of %s is not told", last[name], name)
			}
			return nil
		})
	}
	if err != nil {
		t.Error(err)
	}
	stopWatching()
	watched.Wait()
	r.server.stop()
	rec := record{Ops: r.rec.ops, End: r.rec.now(), Watchers: map[string][]history.Step{}, Truth: recorded(t, r.truth(t))}
	for name, w := range watchers {
		rec.Watchers[name] = w.steps
	}
	rec.judge(t)
}

func (r *run) link() *link {
	l := newLink(r.t, r.server.addr)
	r.links = append(r.links, l)
	return l
}

func (r *run) source() *rand.Rand { return rand.New(rand.NewPCG(r.rand.Uint64(), 0)) }

// final writes every object once more, so that every selection has a last
// event, and returns the mark of it.
func (r *run) final() (map[string]string, error) {
	w := &writer{id: writers, rec: r.rec, api: r.server.client().CoreV1().ConfigMaps(namespace), rand: r.source()}
	last := map[string]string{}
	for i := range names {
		name := fmt.Sprint("k", i)
		err := try("the last write of "+name, func() error {
			old := w.get(r.t.Context(), name)
			if old == nil {
				w.create(r.t.Context(), name, "a")
				return fmt.Errorf("%s is made first", name)
			}
			now := w.update(r.t.Context(), old, "a")
			if now == nil {
				return fmt.Errorf("%s is not written", name)
			}
			last["all"], last["tier a"], last["not b"] = now.Data["mark"], now.Data["mark"], now.Data["mark"]
			if name == "k0" {
				last["name"] = now.Data["mark"]
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return last, nil
}

// recorded reads every change of the clients' objects from the store.
func recorded(t *testing.T, st store.Store) (h history.Truth) {
	t.Helper()
	const prefix = "/registry/configmaps/"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	end, err := st.Revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	w := st.Watch(ctx, "", 0)
	for b := range w.Batches() {
		for _, e := range b.Events {
			key, ours := strings.CutPrefix(e.KV.Key, prefix)
			if !ours || !strings.HasPrefix(key, namespace+"/") || e.KV.ModRevision > end {
				continue
			}
			c := history.Change{Rev: e.KV.ModRevision, Key: key}
			if !e.Delete {
				obj, _, err := scheme.Codecs.UniversalDeserializer().Decode(e.KV.Value, nil, nil)
				if err != nil {
					t.Fatalf("%s: %v", key, err)
				}
				state := stateOf(obj.(*corev1.ConfigMap))
				c.Now = &state
			}
			h = append(h, c)
		}
		if b.Revision >= end {
			return h
		}
	}
	t.Fatalf("the store's history ends early: %v", w.Err())
	return nil
}

// judge finds whether anything was lost, came twice, or was not told.
func (r record) judge(t *testing.T) {
	t.Helper()
	faults := r.faults()
	for _, f := range faults {
		t.Error(f)
	}
	answers := map[string]int{}
	for _, o := range r.Ops {
		answers[o.Answer]++
	}
	sessions, events := 0, 0
	for _, steps := range r.Watchers {
		for _, s := range steps {
			if s.Watch != nil {
				sessions, events = sessions+1, events+len(s.Watch.Got)
			}
		}
	}
	t.Logf("%d requests, answers %v; %d changes; %d events told in %d watches", len(r.Ops), answers, len(r.Truth), events, sessions)
	if len(faults) > 0 {
		r.keep(t)
	}
}

// faults are what no client may see.
func (r record) faults() (faults []string) {
	faults = audit(r.Ops, r.Truth)
	if ok, why := linearizable(resolve(r.Ops, r.Truth), r.End); !ok {
		faults = append(faults, why)
	}
	for name, steps := range r.Watchers {
		sel := selections[strings.SplitN(name, "/", 2)[0]]
		for _, f := range r.Truth.Check(sel.selects, steps).Faults {
			faults = append(faults, name+": "+f)
		}
	}
	slices.Sort(faults)
	return faults
}

// keep writes a history down, so that it can be looked at and become a test:
// see TestKeptHistories.
func (r record) keep(t *testing.T) {
	t.Helper()
	path := filepath.Join(os.TempDir(), fmt.Sprintf("pintle-faults-%s-%d.json.gz", strings.ReplaceAll(t.Name(), "/", "-"), *seed))
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	z := gzip.NewWriter(f)
	if err := errors.Join(json.NewEncoder(z).Encode(r), z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the history is %s; moved to testdata it becomes a test", path)
}

// TestKeptHistories judges what was recorded when something was wrong, in the
// product or, on purpose, for the sake of the checkers: each must find it again.
// A file is what a failed run left behind; the faults are told by their text.
func TestKeptHistories(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"write-acknowledged-and-not-made.json.gz": {"acknowledged at 120 and found at []", "there is no order"},
		"event-left-out.json.gz":                  {"all/0: step 1: told {MODIFIED 124 faults/k3 7}, want {ADDED 123 faults/k4 4}", "there is no order", "list at 256"},
	} {
		t.Run(file, func(t *testing.T) {
			f, err := os.Open(filepath.Join("testdata", file))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			z, err := gzip.NewReader(f)
			if err != nil {
				t.Fatal(err)
			}
			var r record
			if err := json.NewDecoder(z).Decode(&r); err != nil {
				t.Fatal(err)
			}
			all := strings.Join(r.faults(), "\n")
			for _, text := range want {
				if !strings.Contains(all, text) {
					t.Errorf("%q is not found among the faults:\n%s", text, all)
				}
			}
		})
	}
}
