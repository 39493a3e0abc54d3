package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/pintle-io/pintle/internal/history"
)

const (
	namespace = "faults"
	names     = 6               // objects that the clients share
	patience  = 4 * time.Second // of a client with one request
)

// recorder takes down what all clients asked and were told.
type recorder struct {
	begin time.Time
	mu    sync.Mutex
	ops   []op
	marks int
}

func (r *recorder) now() time.Duration { return time.Since(r.begin) }

func (r *recorder) add(o op) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
}

// mark is a value that nobody else writes.
func (r *recorder) mark() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks++
	return strconv.Itoa(r.marks)
}

// connect makes a client of its own connection through a link.
func connect(t testing.TB, s *server, l *link) typedcorev1.ConfigMapInterface {
	t.Helper()
	c, err := s.config()
	if err != nil {
		t.Fatal(err)
	}
	c.Host, c.Timeout = "https://"+l.addr(), 0
	c.Dial = nil
	// A transport of its own: clients shall not share a connection.
	c.UserAgent = "faults " + l.addr()
	return kubernetes.NewForConfigOrDie(c).CoreV1().ConfigMaps(namespace)
}

// writer makes random requests, one after the other.
type writer struct {
	id   int
	rec  *recorder
	api  typedcorev1.ConfigMapInterface
	rand *rand.Rand
}

func (w *writer) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.one(ctx, fmt.Sprint("k", w.rand.IntN(names)))
		time.Sleep(time.Duration(w.rand.IntN(int(10 * time.Millisecond))))
	}
}

// one asks something of one object.
func (w *writer) one(ctx context.Context, name string) {
	tier := []string{"a", "b"}[w.rand.IntN(2)]
	switch n := w.rand.IntN(10); {
	case n < 2:
		w.create(ctx, name, tier)
	case n < 4:
		w.get(ctx, name)
	case n < 5:
		w.do(ctx, op{Verb: opDelete, Name: name}, func(ctx context.Context) (*corev1.ConfigMap, error) {
			return nil, w.api.Delete(ctx, name, metav1.DeleteOptions{})
		})
	default:
		if old := w.get(ctx, name); old != nil {
			w.update(ctx, old, tier)
		}
	}
}

func (w *writer) get(ctx context.Context, name string) *corev1.ConfigMap {
	return w.do(ctx, op{Verb: opGet, Name: name}, func(ctx context.Context) (*corev1.ConfigMap, error) {
		return w.api.Get(ctx, name, metav1.GetOptions{})
	})
}

func (w *writer) create(ctx context.Context, name, tier string) {
	mark := w.rec.mark()
	w.do(ctx, op{Verb: opCreate, Name: name, Mark: mark}, func(ctx context.Context) (*corev1.ConfigMap, error) {
		return w.api.Create(ctx, &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"tier": tier}}, Data: map[string]string{"mark": mark},
		}, metav1.CreateOptions{})
	})
}

func (w *writer) update(ctx context.Context, old *corev1.ConfigMap, tier string) *corev1.ConfigMap {
	o := op{Verb: opUpdate, Name: old.Name, Mark: w.rec.mark(), OldRev: revision(old), OldMark: old.Data["mark"]}
	return w.do(ctx, o, func(ctx context.Context) (*corev1.ConfigMap, error) {
		next := old.DeepCopy()
		next.Labels, next.Data = map[string]string{"tier": tier}, map[string]string{"mark": o.Mark}
		return w.api.Update(ctx, next, metav1.UpdateOptions{})
	})
}

// do sends a request and takes down the answer.
func (w *writer) do(ctx context.Context, o op, send func(context.Context) (*corev1.ConfigMap, error)) *corev1.ConfigMap {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience) // what was begun is answered
	defer cancel()
	o.Client, o.Call = w.id, w.rec.now()
	got, err := send(ctx)
	o.Return = w.rec.now()
	switch {
	case err == nil:
		o.Answer = answerOK
		if got != nil {
			o.Rev = revision(got)
			if o.Verb == opGet {
				o.GotMark = got.Data["mark"]
			}
		}
	case apierrors.IsNotFound(err):
		o.Answer = answerMissing
	case apierrors.IsConflict(err), apierrors.IsAlreadyExists(err):
		o.Answer = answerConflict
	default:
		o.Answer = answerUnknown
	}
	w.rec.add(o)
	if err != nil {
		return nil
	}
	return got
}

func revision(c *corev1.ConfigMap) int64 {
	n, _ := strconv.ParseInt(c.ResourceVersion, 10, 64) // 0 is found out
	return n
}

func stateOf(c *corev1.ConfigMap) history.State {
	return history.State{Namespace: c.Namespace, Name: c.Name, Tier: c.Labels["tier"], Mark: c.Data["mark"]}
}

// selection is what a watcher asks for.
type selection struct {
	labels, fields string
	selects        history.Selects
}

var selections = map[string]selection{
	"all":    {selects: func(history.State) bool { return true }},
	"tier a": {labels: "tier=a", selects: func(s history.State) bool { return s.Tier == "a" }},
	"not b":  {labels: "tier!=b", selects: func(s history.State) bool { return s.Tier != "b" }},
	"name":   {fields: "metadata.name=k0", selects: func(s history.State) bool { return s.Name == "k0" }},
}

// watcher lists, watches from there, and goes on from the last event that it
// read, whatever happens.
type watcher struct {
	sel  selection
	api  typedcorev1.ConfigMapInterface
	rand *rand.Rand

	rv    int64 // the last that was read; 0 asks for a list
	steps []history.Step

	mu   sync.Mutex
	seen map[string]bool // marks; guarded by mu
}

func (w *watcher) has(mark string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen[mark]
}

func (w *watcher) see(mark string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[mark] = true
}

func (w *watcher) run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.rv == 0 || w.rand.IntN(20) == 0 {
			w.list(ctx)
		}
		if w.rv != 0 {
			w.watch(ctx)
		}
		time.Sleep(time.Duration(w.rand.IntN(int(100 * time.Millisecond))))
	}
}

func (w *watcher) options() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: w.sel.labels, FieldSelector: w.sel.fields}
}

// list lists: from the store or from the cache, whole or in pages.
func (w *watcher) list(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	o := w.options()
	switch w.rand.IntN(3) {
	case 0:
		o.ResourceVersion = "0"
	case 1:
		o.Limit = 2
	}
	l := history.Listing{Items: map[string]string{}}
	for {
		got, err := w.api.List(ctx, o)
		if err != nil {
			return // a page of it is worth nothing
		}
		for i := range got.Items {
			s := stateOf(&got.Items[i])
			l.Items[s.Key()] = s.Mark
		}
		l.Rev, _ = strconv.ParseInt(got.ResourceVersion, 10, 64)
		if o.Continue = got.Continue; o.Continue == "" {
			break
		}
	}
	w.rv = l.Rev
	w.steps = append(w.steps, history.Step{List: &l})
	for _, mark := range l.Items {
		w.see(mark)
	}
}

// watch reads until the watch ends, or for a moment.
func (w *watcher) watch(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(100+w.rand.IntN(3000))*time.Millisecond)
	defer cancel()
	o := w.options()
	o.AllowWatchBookmarks, o.ResourceVersion = true, strconv.FormatInt(w.rv, 10)
	stream, err := w.api.Watch(ctx, o)
	if err != nil {
		if apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
			w.rv = 0
		}
		return
	}
	defer stream.Stop()
	s := &history.Session{From: w.rv}
	w.steps = append(w.steps, history.Step{Watch: s})
	for e := range stream.ResultChan() {
		c, ok := e.Object.(*corev1.ConfigMap)
		if !ok { // an error
			if err := apierrors.FromObject(e.Object); apierrors.IsGone(err) || apierrors.IsResourceExpired(err) {
				w.rv = 0
			}
			return
		}
		w.rv = revision(c)
		state := stateOf(c)
		told := history.Event{Type: string(e.Type), Rev: w.rv}
		if told.Type != "BOOKMARK" {
			told.Key, told.Mark = state.Key(), state.Mark
			w.see(state.Mark)
		}
		s.Got = append(s.Got, told)
	}
}
