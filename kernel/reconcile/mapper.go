package reconcile

import (
	"bytes"
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/controller"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// mapper turns events into requests. Maps of the plugin's own are called on an
// instance of its own, opened when the first is needed.
type mapper struct {
	r *runner

	mu     sync.Mutex // guards what follows
	slot   *slot
	idle   clock.Timer   // closes an instance that nothing is asked of; nil: none was asked yet
	built  *watch.Object // what record was made of
	whole  bool          // of the whole object, not of its metadata
	fields string        // and its declaration
	record []byte
}

// event queues the requests that an event makes under every watch of its
// resource.
func (m *mapper) event(ctx context.Context, watches []numbered, e watch.Event) {
	m.r.host.Observed.Observe(watches[0].resource, e.Revision)
	for i := range watches {
		w := &watches[i]
		if !w.present.In(e.Object.Obj) && (e.Prev == nil || !w.present.In(e.Prev.Obj)) {
			continue
		}
		if controller.MapKind(w.Map) == controller.MapFieldChanged && e.Type == watch.Modified && e.Prev != nil && m.sameField(ctx, w, e) {
			continue
		}
		if controller.MapKind(w.Map) == controller.MapFunc && w.Arg != "" {
			if w.asks(e) {
				m.object(ctx, w, e.Object)
			}
			continue
		}
		m.object(ctx, w, e.Object)
		if e.Type == watch.Modified && e.Prev != nil && controller.MapKind(w.Map) != controller.MapSelf {
			m.object(ctx, w, e.Prev)
		}
	}
}

// asks tells whether a map of the plugin's own that asks for some changes only is called.
func (w *numbered) asks(e watch.Event) bool {
	switch {
	case w.condition != "":
		return turned(w.changed, w.condition, e)
	case w.changed != nil:
		return differs(w.changed, e)
	}
	return wanted(w.Arg, e)
}

// wanted tells whether a Func map that asks for some changes only is called.
func wanted(arg string, e watch.Event) bool {
	switch arg {
	case controller.OnlyAdded:
		return e.Type == watch.Added
	case controller.OnlyDeleted:
		return e.Type == watch.Deleted
	case controller.OnlyDeleting:
		acc, err := meta.Accessor(e.Object.Obj)
		return err == nil && e.Type != watch.Deleted && acc.GetDeletionTimestamp() != nil && len(acc.GetFinalizers()) > 0
	case controller.OnlyOwned:
		return e.Type != watch.Deleted && reowned(e)
	}
	return true
}

// differs tells that an event changes one of the fields of a plan. One that cannot be
// read counts as changed.
func differs(fields *record.Plan, e watch.Event) bool {
	if e.Type != watch.Modified || e.Prev == nil {
		return false
	}
	now, err := fields.Append(nil, e.Object.Obj)
	if err != nil {
		return true
	}
	was, err := fields.Append(nil, e.Prev.Obj)
	return err != nil || !bytes.Equal(now, was)
}

// turned tells that an event brings a condition, or changes its status. What cannot be
// read counts as changed.
func turned(conditions *record.Plan, name string, e watch.Event) bool {
	if e.Type == watch.Deleted {
		return false
	}
	now, err := statusOf(conditions, name, e.Object)
	if err != nil || now == "" {
		return err != nil
	}
	if e.Type == watch.Added || e.Prev == nil {
		return true
	}
	was, err := statusOf(conditions, name, e.Prev)
	return err != nil || now != was
}

// statusOf is the status of an object's condition; "" without it.
func statusOf(conditions *record.Plan, name string, o *watch.Object) (string, error) {
	b, err := conditions.Append(nil, o.Obj)
	if err != nil {
		return "", err
	}
	v, err := record.Parse(b, conditions.Fields())
	if err != nil {
		return "", err
	}
	for _, c := range v.Get("status.conditions").Items() {
		if c.Get("type").String() == name {
			return c.Get("status").String(), nil
		}
	}
	return "", nil
}

// reowned tells that an object names owners, and not the same as before.
func reowned(e watch.Event) bool {
	acc, err := meta.Accessor(e.Object.Obj)
	if err != nil || len(acc.GetOwnerReferences()) == 0 {
		return false
	}
	if e.Type == watch.Added || e.Prev == nil {
		return true
	}
	old, err := meta.Accessor(e.Prev.Obj)
	return err != nil || !reflect.DeepEqual(acc.GetOwnerReferences(), old.GetOwnerReferences())
}

func (m *mapper) object(ctx context.Context, w *numbered, o *watch.Object) {
	switch controller.MapKind(w.Map) {
	case controller.MapSelf:
		m.r.queue.Add(Request{Namespace: o.Namespace, Name: o.Name})
	case controller.MapNamespace:
		if w.Arg != controller.OnlyUnlabelled || unlabelled(o) {
			m.r.queue.Add(Request{Name: o.Namespace})
		}
	case controller.MapConstant:
		m.r.queue.Add(Request{Namespace: w.ToNamespace, Name: w.ToName})
	case controller.MapFunc:
		m.call(ctx, w, o)
	default:
		m.meta(ctx, w, o)
	}
}

func unlabelled(o *watch.Object) bool {
	acc, err := meta.Accessor(o.Obj)
	return err == nil && len(acc.GetLabels()) == 0
}

// meta serves the maps that look at labels, owners and fields.
func (m *mapper) meta(ctx context.Context, w *numbered, o *watch.Object) {
	acc, err := meta.Accessor(o.Obj)
	if err != nil {
		return
	}
	switch controller.MapKind(w.Map) {
	case controller.MapLabel:
		if v := acc.GetLabels()[w.Arg]; v != "" {
			m.r.queue.Add(Request{Namespace: o.Namespace, Name: v})
		}
	case controller.MapLabels:
		if len(acc.GetLabels()) > 0 && (w.Arg != controller.OnlyOrphans || metav1.GetControllerOfNoCopy(acc) == nil) {
			m.r.queue.Add(Request{Namespace: o.Namespace, Labels: wire.LabelSetOf(acc.GetLabels())})
		}
	case controller.MapOwner:
		if ref := metav1.GetControllerOfNoCopy(acc); ref != nil && sameKind(w.Arg, ref) {
			q := Request{Namespace: o.Namespace, Name: ref.Name}
			if w.ownerless {
				q.Namespace = ""
			}
			m.r.queue.Add(q)
		}
	case controller.MapField, controller.MapFieldChanged:
		if v, ok := m.field(ctx, w, o); ok && v != "" {
			m.r.queue.Add(Request{Name: v})
		}
	}
}

// sameKind compares "apps/v1/ReplicaSet" with an owner reference; the version
// may differ.
func sameKind(arg string, ref *metav1.OwnerReference) bool {
	want, ok := parseKind(arg)
	if !ok || want.Kind != ref.Kind {
		return false
	}
	have, err := schema.ParseGroupVersion(ref.APIVersion)
	return err == nil && want.Group == have.Group
}

// parseKind reads "apps/v1/ReplicaSet" or "v1/Node".
func parseKind(s string) (schema.GroupKind, bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return schema.GroupKind{}, false
	}
	gv, err := schema.ParseGroupVersion(s[:i])
	return schema.GroupKind{Group: gv.Group, Kind: s[i+1:]}, err == nil
}

// sameField reports whether a change left the field of a watch as it was. One
// that cannot be read counts as changed.
func (m *mapper) sameField(ctx context.Context, w *numbered, e watch.Event) bool {
	now, ok := m.field(ctx, w, e.Object)
	was, okBefore := m.field(ctx, w, e.Prev)
	return ok && okBefore && now == was
}

// field reads a field: from the selectable ones where it is one of them, which
// is cheap, else by its path. One that cannot be read is noted.
func (m *mapper) field(ctx context.Context, w *numbered, o *watch.Object) (value string, ok bool) {
	gvr, _ := hostclient.ParseResource(w.Resource)
	if d := m.r.catalog.Lookup(gvr.GroupResource()); d != nil && d.Strategy.Fields != nil {
		if set := selectable(d.Strategy.Fields, o.Obj); set.Has(w.Arg) {
			return set.Get(w.Arg), true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.recordOf(w, o)
	var v record.Value
	if err == nil {
		v, err = record.Parse(b, w.fields.Fields())
	}
	if err != nil {
		m.r.faults.note(ctx, "map event", Request{Name: w.Resource}, fmt.Errorf("%s/%s: %w", o.Namespace, o.Name, err))
		return "", false
	}
	return v.Get(w.Arg).String(), true
}

// selectable are the fields that a kind's hook reads; none if it panics, which must
// not end the goroutine of an informer.
func selectable(read func(runtime.Object) fields.Set, obj runtime.Object) (out fields.Set) {
	defer func() {
		if recover() != nil {
			out = nil // they are read by their paths
		}
	}()
	return read(obj)
}

// recordOf is what of an object a watch wants; several maps of one event share
// it. m.mu is held.
func (m *mapper) recordOf(w *numbered, o *watch.Object) ([]byte, error) {
	whole, fields := w.all == nil, w.fields.Fields().String()
	if m.built == o && m.whole == whole && m.fields == fields {
		return m.record, nil
	}
	m.built = nil
	obj := o.Obj
	if !whole {
		var err error
		if obj, err = w.all.Metadata(obj); err != nil {
			return nil, err
		}
	}
	b, err := w.fields.Append(m.record[:0], obj)
	if err != nil {
		return nil, err
	}
	m.built, m.whole, m.fields, m.record = o, whole, fields, b
	return b, nil
}

// call asks the plugin's own map. After a fault a new instance is asked once
// more; a map that fails again loses its event, and so do the objects of a
// namespace that is left out.
func (m *mapper) call(ctx context.Context, w *numbered, o *watch.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.recordOf(w, o)
	if err != nil {
		m.r.faults.note(ctx, "map event", Request{Name: w.Resource}, fmt.Errorf("%s/%s: %w", o.Namespace, o.Name, err))
		return
	}
	defer m.closeWhenIdle()
	frame := wire.AppendMap(nil, w.index, b)
	ctx = plugin.ForNamespace(ctx, o.Namespace)
	for range 2 {
		if m.slot.open(ctx) != nil {
			return
		}
		if err = m.ask(ctx, frame); ctx.Err() != nil {
			return
		}
		if err == nil || !isFault(err) {
			break
		}
	}
	if err != nil {
		err = fmt.Errorf("%s/%s: %w", o.Namespace, o.Name, err)
	}
	m.r.faults.note(ctx, "map event", Request{Name: w.Resource}, err)
}

// closeWhenIdle has the instance closed when nothing is asked of it for a while.
// Callers hold mu.
func (m *mapper) closeWhenIdle() {
	if m.idle != nil {
		m.idle.Reset(idleGuest)
		return
	}
	m.idle = m.r.clock.AfterFunc(idleGuest, m.retire)
}

// retire closes the instance; the next map opens another.
func (m *mapper) retire() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slot.close()
}

// end closes the instance for good.
func (m *mapper) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.idle != nil {
		m.idle.Stop()
	}
	m.slot.close()
}

func (m *mapper) ask(ctx context.Context, frame []byte) error {
	start := m.r.clock.Now()
	resp, err := m.slot.call(ctx, wire.OpMap, frame)
	if err == nil {
		rd := wire.NewReader(resp)
		requests := rd.Requests()
		if err = rd.Err(); err == nil {
			err = m.r.queue.AddNamed(requests)
		}
		if err == nil {
			return nil
		}
	}
	if m.r.c.Called != nil && ctx.Err() == nil {
		m.r.c.Called(time.Duration(m.r.clock.Since(start)), err)
	}
	return err
}
