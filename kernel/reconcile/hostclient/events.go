package hostclient

import (
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Bounds of the recorder: events are notes for people, and give way to work.
const (
	maxQueued  = 4096
	maxSame    = 4096             // recent events remembered to count repetitions
	sameWithin = 10 * time.Minute // a repetition within this counts up the event
	maxMessage = 1024
	maxReason  = 128 // upstream's, of events.k8s.io
	maxName    = 253
	// An object may have this many events of one plugin at once, and one more
	// every so often, as upstream's recorder allows.
	burst  = 25
	refill = 5 * time.Minute
)

var eventResource = schema.GroupVersionResource{Version: "v1", Resource: "events"}

// Events writes events in the background. A repeated one counts up the event
// that is there. When more come than can be written, or more about one object
// than anybody would read, the newest are dropped.
// Record is safe for concurrent use.
type Events struct {
	reg   registry.Registry
	clock clock.PassiveClock
	log   *slog.Logger
	in    chan note
	known map[string]*known // by key; used by Run only
	spent map[string]budget // by plugin and object; used by Run only
	lost  int               // since told; used by Run only
	told  time.Time         // when the log last said that events are lost; used by Run only
}

// budget is how many events have been written of late.
type budget struct {
	n  int
	at time.Time // of the last refill
}

type note struct {
	plugin string // whose budget it takes from, and the field manager
	source string // the component that it names
	target registry.Target
	kind   string
	req    wire.EventRequest
	at     time.Time
}

type known struct {
	name  string
	count int32
	first time.Time
	last  time.Time
}

// NewEvents makes a recorder that writes to reg.
func NewEvents(reg registry.Registry, c clock.PassiveClock, log *slog.Logger) *Events {
	return &Events{reg: reg, clock: c, log: log, in: make(chan note, maxQueued), known: map[string]*known{}, spent: map[string]budget{}}
}

// Record notes an event of a plugin about an object; source is the component that it
// names. It does not wait.
//
// # Errors
//   - wire.ErrInvalid: it is no event that the API would take
//   - wire.ErrTooMany: others have to be written first
func (e *Events) Record(plugin, source string, t registry.Target, kind string, q wire.EventRequest) error {
	q, err := tidy(q)
	if err != nil {
		return err
	}
	t.Namespace, t.Name = q.Namespace, q.Name
	select {
	case e.in <- note{plugin, source, t, kind, q, e.clock.Now()}:
		return nil
	default:
		return wire.Errorf(wire.KindTooMany, "%d events wait to be written: this one is lost", maxQueued)
	}
}

// tidy checks an event as the API's validation does and cuts its message. What
// it returns shares nothing with the guest's request, which may be large.
func tidy(q wire.EventRequest) (wire.EventRequest, error) {
	for _, x := range []struct {
		field, text string
		most        int
	}{{"reason", q.Reason, maxReason}, {"name", q.Name, maxName}, {"namespace", q.Namespace, maxName}, {"uid", q.UID, maxReason}, {"resourceVersion", q.ResourceVersion, maxReason}} {
		if len(x.text) > x.most {
			return q, wire.Errorf(wire.KindInvalid, "event: %s has %d bytes, %d are the most", x.field, len(x.text), x.most)
		}
	}
	if q.Reason == "" {
		return q, wire.Errorf(wire.KindInvalid, "event: a reason is required")
	}
	if len(q.Message) > maxMessage {
		q.Message = strings.ToValidUTF8(q.Message[:maxMessage-3], "") + "..."
	}
	for _, s := range []*string{&q.Resource, &q.Reason, &q.Name, &q.Namespace, &q.UID, &q.ResourceVersion, &q.Message} {
		*s = strings.Clone(*s)
	}
	return q, nil
}

// event serves a guest that records one: it takes the right to create events in
// that namespace, and to get the object that it is about.
func (k *Client) event(r *wire.Reader) error {
	q := r.EventRequest()
	if err := r.Err(); err != nil {
		return err
	}
	t, d, err := k.c.target(q.Resource, q.Namespace, q.Name, "")
	if err != nil {
		return err
	}
	if err := k.c.May("create", registry.Target{Resource: eventResource, Namespace: namespaceOf(t)}); err != nil {
		return err
	}
	if err := k.c.May("get", t); err != nil {
		return err
	}
	if err := k.c.Budget.event(k.c.Plugin); err != nil || k.c.Events == nil {
		return err
	}
	return k.c.Events.Record(k.c.Plugin, cmp.Or(k.c.Source, k.c.Plugin), t, d.Kind, q)
}

// namespaceOf is where an event about an object is kept.
func namespaceOf(t registry.Target) string {
	if t.Namespace == "" {
		return metav1.NamespaceDefault
	}
	return t.Namespace
}

// Run writes until ctx ends.
func (e *Events) Run(ctx context.Context) error {
	for {
		select {
		case n := <-e.in:
			e.write(ctx, n)
		case <-ctx.Done():
			return nil
		}
	}
}

// afford tells whether another event about an object may be written.
func (e *Events) afford(n note) bool {
	key := fmt.Sprint(n.plugin, "/", n.kind, "/", n.target.Namespace, "/", n.target.Name, "/", n.req.UID)
	b, ok := e.spent[key]
	if !ok {
		if len(e.spent) >= maxSame {
			clear(e.spent)
		}
		b.at = n.at
	}
	if back := int(n.at.Sub(b.at) / refill); back > 0 {
		b.n, b.at = max(b.n-back, 0), b.at.Add(time.Duration(back)*refill)
	}
	if b.n >= burst {
		return false
	}
	b.n++
	e.spent[key] = b
	return true
}

func (e *Events) write(ctx context.Context, n note) {
	if !e.afford(n) {
		return
	}
	namespace := namespaceOf(n.target)
	key := fmt.Sprint(n.plugin, "/", n.kind, "/", n.target.Namespace, "/", n.target.Name, "/", n.req.UID, "/", n.req.Reason, "/", n.req.Message)
	t := registry.Target{Resource: eventResource, Namespace: namespace}
	if k := e.known[key]; k != nil && n.at.Sub(k.last) < sameWithin {
		k.count++
		k.last = n.at
		t.Name = k.name
		patch := fmt.Sprintf(`{"count":%d,"lastTimestamp":%q}`, k.count, n.at.UTC().Format(time.RFC3339))
		_, err := e.reg.Patch(ctx, t, types.MergePatchType, []byte(patch), registry.WriteOptions{FieldManager: n.plugin})
		if err == nil || !apierrors.IsNotFound(err) {
			e.failed(err)
			return
		}
	}
	h := fnv.New64a()
	h.Write([]byte(key))
	ev := e.event(n, namespace)
	ev.Name = fmt.Sprintf("%.200s.%x", n.target.Name, uint64(n.at.UnixNano())^h.Sum64()>>32)
	if _, err := e.reg.Create(ctx, t, ev, registry.WriteOptions{FieldManager: n.plugin}); err != nil {
		e.failed(err)
		return
	}
	if len(e.known) >= maxSame {
		clear(e.known)
	}
	e.known[key] = &known{name: ev.Name, count: 1, first: n.at, last: n.at}
}

func (e *Events) event(n note, namespace string) *corev1.Event {
	kind := corev1.EventTypeNormal
	if n.req.Warning {
		kind = corev1.EventTypeWarning
	}
	at := resource.Timestamp(n.at)
	return &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace},
		InvolvedObject: corev1.ObjectReference{APIVersion: n.target.Resource.GroupVersion().String(), Kind: n.kind,
			Namespace: n.target.Namespace, Name: n.target.Name, UID: types.UID(n.req.UID), ResourceVersion: n.req.ResourceVersion},
		Reason: n.req.Reason, Message: n.req.Message, Type: kind,
		Source:         corev1.EventSource{Component: n.source},
		FirstTimestamp: at, LastTimestamp: at, Count: 1,
		ReportingController: n.source,
	}
}

// failed drops what cannot be written: into a namespace that is going, for
// example.
func (e *Events) failed(err error) {
	if err == nil || apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || apierrors.IsConflict(err) || isContext(err) {
		return
	}
	// Events are best effort, and a store that fails does so for each: one
	// line a minute says it.
	e.lost++
	if now := e.clock.Now(); now.Sub(e.told) >= time.Minute {
		e.log.Warn("events are lost", "lost", e.lost, "error", err)
		e.told, e.lost = now, 0
	}
}
