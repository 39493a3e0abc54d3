package apiserver_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/internal/history"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
)

var historySeed = flag.Uint64("history-seed", 1, "what the clients and writers of TestWatchHistories draw from")

// TestWatchHistories has clients list and watch through HTTP while objects are
// written one by one, in batches, in atomic batches, by deletecollection and by
// foreign transactions. The clients are cut off at random bytes, fall behind
// what is kept, change from one server to another that may lag, and to one that
// has just started. Their histories are then held against the store's.
func TestWatchHistories(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) store.Store{
		"memory": func(*testing.T) store.Store { return memory.New() },
		"etcd": func(t *testing.T) store.Store {
			s, err := embed.Start(t.Context(), embed.Config{Dir: t.TempDir(), UnsafeNoFsync: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s.Store()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rand.New(rand.NewPCG(*historySeed, 0))
			histories(t, open(t), r)
		})
	}
}

func histories(t *testing.T, st store.Store, r *rand.Rand) {
	const rounds, starting = 40, 25 // a third server joins
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	keys := clusterKeys(t)
	servers := []*server{historyServer(t, st, keys), historyServer(t, lagging{st}, keys)}
	begin, err := st.Revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]*reflector{}
	for name, sel := range selections {
		for i := range 2 {
			name := fmt.Sprint(name, " ", i)
			clients[name] = &reflector{t: t, sel: sel, rand: rand.New(rand.NewPCG(*historySeed, hash(name)))}
		}
	}
	w := &writer{t: t, store: st, rand: r}
	for round := range rounds {
		if round == starting {
			servers = append(servers, historyServer(t, st, keys))
		}
		w.servers = servers
		each(clients, func(c *reflector) {
			if c.servers = servers; c.rand.IntN(2) == 0 {
				c.open(ctx)
			}
		})
		for range 1 + r.IntN(6) {
			w.write(ctx)
		}
		rev, err := st.Revision(ctx)
		if err != nil {
			t.Fatal(err)
		}
		each(clients, func(c *reflector) { c.round(ctx, rev) })
		if t.Failed() {
			t.FailNow()
		}
	}
	end, err := st.Revision(ctx)
	if err != nil {
		t.Fatal(err)
	}
	each(clients, func(c *reflector) { c.read(ctx, end, -1); c.close() })
	judge(t, recorded(t, st, begin, end), end, clients)
}

// round is what a client does after some writes: it stays away, lists anew, or
// reads, to the end or until it is cut off.
func (r *reflector) round(ctx context.Context, rev int64) {
	switch n := r.rand.IntN(16); {
	case n < 3:
	case n == 3:
		r.list(ctx)
	case n < 8:
		r.read(ctx, rev, -1)
	default:
		r.read(ctx, rev, r.rand.IntN(12000))
		if r.rand.IntN(2) == 0 { // resumed at once, perhaps where that revision is still to come
			r.read(ctx, rev, -1)
		}
	}
}

// TestWatchAfterARestart begins where the last thing that happened was a
// transaction of several objects, of which the server knows no more than that.
func TestWatchAfterARestart(t *testing.T) {
	t.Parallel()
	st := memory.New()
	w := &writer{t: t, store: st, rand: rand.New(rand.NewPCG(1, 1))}
	keys := clusterKeys(t)
	w.batch(t.Context(), historyServer(t, st, keys), nil, 3, true)
	last, err := st.Revision(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := historyServer(t, st, keys)
	if rev, err := st.Revision(t.Context()); err != nil || rev != last {
		t.Fatalf("the start wrote something: revision %d, %v, want %d", rev, err, last)
	}
	pods := registry.Target{Resource: podResource}
	cut := metav1.ListOptions{ResourceVersion: fmt.Sprint(last)}
	if _, err := c.Registry.Watch(t.Context(), pods, cut); !apierrors.IsResourceExpired(err) {
		t.Errorf("a client that may have been cut off inside the transaction: %v", err)
	}
	for name, o := range map[string]metav1.ListOptions{"list": {}, "page": {Limit: 2}} {
		l, err := c.Registry.List(t.Context(), pods, o)
		if err != nil {
			t.Fatal(err)
		}
		events, err := c.Registry.Watch(t.Context(), pods, metav1.ListOptions{ResourceVersion: fmt.Sprint(l.Revision)})
		if err != nil {
			t.Errorf("watch from a %s: %v", name, err)
			continue
		}
		events.Stop()
	}
	if rev, err := st.Revision(t.Context()); err != nil || rev != last+1 {
		t.Errorf("revision %d, %v, want %d", rev, err, last+1)
	}
}

func judge(t *testing.T, h history.Truth, end int64, clients map[string]*reflector) {
	resumed, repeated, events := 0, 0, 0
	for name, c := range clients {
		v := h.Check(c.sel.selects, c.steps)
		for _, f := range v.Faults {
			t.Errorf("%s: %s", name, f)
		}
		if diff := cmp.Diff(h.At(end, c.sel.selects), c.items); diff != "" {
			t.Errorf("%s ends elsewhere (-want +got):\n%s", name, diff)
		}
		resumed, repeated = resumed+v.Resumed, repeated+v.Repeated
		for _, s := range c.steps {
			if s.Watch != nil {
				events += len(s.Watch.Got)
			}
		}
	}
	t.Logf("seed %d: %d changes; %d events told; %d watches resumed inside a revision; %d events repeated for safety",
		*historySeed, len(h), events, resumed, repeated)
	if resumed == 0 {
		t.Error("no client was ever cut off inside a revision: the test tests nothing")
	}
}

// each calls f for the clients side by side.
func each(clients map[string]*reflector, f func(*reflector)) {
	var wg sync.WaitGroup
	for _, c := range clients {
		wg.Go(func() { f(c) })
	}
	wg.Wait()
}

func hash(s string) (n uint64) {
	for _, b := range []byte(s) {
		n = n*131 + uint64(b)
	}
	return n
}

// historyServer starts an API server whose cache keeps little: clients fall
// behind, and are cut off inside revisions. None of them leads, so that nothing
// is written but what the test writes. Those of one store have the same keys.
func historyServer(t *testing.T, st store.Store, keys string) *server {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "pki"), os.DirFS(keys)); err != nil {
		t.Fatal(err)
	}
	return newServer(t, kerneltest.Start(t, kerneltest.Options{Store: st, Dir: dir, Follows: true,
		Adjust: kernel.Adjust{Cache: func(c *watch.Config) { c.History, c.Queue, c.Bookmarks = 100, 10, 60*time.Millisecond }},
	}))
}

// clusterKeys makes the keys of a cluster, and says where.
func clusterKeys(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := pki.Open(pki.Config{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// lagging is a store whose changes are heard of late, as by a server that is
// busy or behind a slow link.
type lagging struct{ store.Store }

const lag = 20 * time.Millisecond

func (l lagging) Watch(ctx context.Context, prefix string, after int64) store.Watcher {
	w := &lateWatcher{l.Store.Watch(ctx, prefix, after), make(chan store.Batch)}
	go func() {
		defer close(w.late)
		for b := range w.Watcher.Batches() {
			select {
			case <-time.After(lag):
			case <-ctx.Done():
			}
			select {
			case w.late <- b:
			case <-ctx.Done():
			}
		}
	}()
	return w
}

type lateWatcher struct {
	store.Watcher
	late chan store.Batch
}

// Batches passes on what came a while ago.
func (w *lateWatcher) Batches() <-chan store.Batch { return w.late }

// recorded reads what the store did to pods after begin, up to end.
func recorded(t *testing.T, st store.Store, begin, end int64) (h history.Truth) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	table, err := kerneltest.Table()
	if err != nil {
		t.Fatal(err)
	}
	codec, pods := resource.NewCodec(resource.NewCatalog(table)), table.Lookup(podResource.GroupResource())
	w := st.Watch(ctx, "", begin)
	for b := range w.Batches() {
		for _, e := range b.Events {
			name, ok := strings.CutPrefix(e.KV.Key, pods.KeyPrefix+"/")
			if !ok || e.KV.ModRevision > end {
				continue
			}
			c := history.Change{Rev: e.KV.ModRevision, Key: name}
			if !e.Delete {
				obj, err := codec.Decode(pods, e.KV.Value, e.KV.ModRevision)
				if err != nil {
					t.Fatal(err)
				}
				p := stateOf(obj.(*corev1.Pod))
				c.Now = &p
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

var podResource = corev1.SchemeGroupVersion.WithResource("pods")

// writer makes one random change after the other.
type writer struct {
	t       *testing.T
	store   store.Store
	rand    *rand.Rand
	servers []*server
	marks   int
}

// write changes one pod or several, in one of the ways that there are.
func (w *writer) write(ctx context.Context) {
	s := w.servers[w.rand.IntN(len(w.servers))]
	present := w.present(ctx, s)
	switch way := w.rand.IntN(10); {
	case way < 2:
		w.batch(ctx, s, present, 1, false)
	case way < 5:
		w.batch(ctx, s, present, 2+w.rand.IntN(10), false)
	case way < 8:
		w.batch(ctx, s, present, 2+w.rand.IntN(10), true)
	case way == 8:
		w.deleteCollection(ctx, s)
	default:
		w.foreign(ctx, present)
	}
}

// present are the pods as they are now.
func (w *writer) present(ctx context.Context, s *server) map[string]*corev1.Pod {
	l, err := s.Registry.List(ctx, registry.Target{Resource: podResource}, metav1.ListOptions{})
	if err != nil {
		w.t.Fatal(err)
	}
	pods := map[string]*corev1.Pod{}
	for _, o := range l.Items {
		pods[o.Namespace+"/"+o.Name] = o.Obj.DeepCopyObject().(*corev1.Pod)
	}
	return pods
}

// draw chooses a pod to write: with a new content, or nil for its deletion.
func (w *writer) draw(i int, present map[string]*corev1.Pod) (namespace, name string, p *corev1.Pod) {
	namespace, name = []string{"default", "kube-public"}[i%2], fmt.Sprint("p", i/2)
	p = present[namespace+"/"+name]
	if p != nil && w.rand.IntN(4) == 0 {
		return namespace, name, nil
	}
	if p == nil {
		p = pod(name)
		p.Namespace = namespace
	}
	w.marks++
	p.Annotations = map[string]string{"mark": fmt.Sprint(w.marks)}
	p.Labels = map[string]string{"tier": []string{"a", "b"}[w.rand.IntN(2)]}
	p.Spec.NodeName = []string{"", "n1", "n2"}[w.rand.IntN(3)]
	return namespace, name, p
}

func (w *writer) batch(ctx context.Context, s *server, present map[string]*corev1.Pod, n int, atomic bool) {
	var items []registry.BatchItem
	for _, i := range w.rand.Perm(16)[:n] {
		namespace, name, p := w.draw(i, present)
		it := registry.BatchItem{Target: registry.Target{Resource: podResource, Namespace: namespace, Name: name}}
		switch {
		case p == nil:
			it.Verb = "delete"
		case p.ResourceVersion == "":
			it.Verb, it.Object, it.Target.Name = "create", p, ""
		default:
			it.Verb, it.Object = "update", p
		}
		items = append(items, it)
	}
	results, err := s.Registry.Batch(ctx, items, atomic)
	if err != nil {
		w.t.Fatal(err)
	}
	for i, res := range results {
		if res.Err != nil {
			w.t.Errorf("%s %s: %v", items[i].Verb, items[i].Target.Name, res.Err)
		}
	}
}

func (w *writer) deleteCollection(ctx context.Context, s *server) {
	query := url.Values{"labelSelector": {"tier=" + []string{"a", "b"}[w.rand.IntN(2)]}}
	req, err := http.NewRequestWithContext(ctx, http.MethodDelete, s.URL+"/api/v1/namespaces/default/pods?"+query.Encode(), nil)
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := s.clients[0].Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		w.t.Errorf("deletecollection: %s", resp.Status)
	}
}

// foreign commits a transaction past the registry, as another program on the
// same etcd does.
func (w *writer) foreign(ctx context.Context, present map[string]*corev1.Pod) {
	table, err := kerneltest.Table()
	if err != nil {
		w.t.Fatal(err)
	}
	codec, pods := resource.NewCodec(resource.NewCatalog(table)), table.Lookup(podResource.GroupResource())
	var ops []store.Op
	for _, i := range w.rand.Perm(16)[:2+w.rand.IntN(5)] {
		namespace, name, p := w.draw(i, present)
		op := store.Op{Key: pods.KeyPrefix + "/" + namespace + "/" + name, Expect: store.Any}
		if p != nil {
			if op.Value, err = codec.EncodeStorage(pods, p); err != nil {
				w.t.Fatal(err)
			}
		}
		ops = append(ops, op)
	}
	if _, err := w.store.Commit(ctx, ops); err != nil {
		w.t.Errorf("commit: %v", err)
	}
}
