package reconcile

import (
	"context"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/tape"
	"github.com/pintle-io/pintle/sdk/wire"
)

// mapper turns events into requests. Maps of the plugin's own are called on an
// instance of its own, opened when the first is needed.
type mapper struct {
	r *runner

	mu      sync.Mutex // guards what follows
	slot    *slot
	builder tape.Builder
}

func parseResource(s string) (schema.GroupVersionResource, bool) {
	switch p := strings.Split(s, "/"); len(p) {
	case 2:
		return schema.GroupVersionResource{Version: p[0], Resource: p[1]}, true
	case 3:
		return schema.GroupVersionResource{Group: p[0], Version: p[1], Resource: p[2]}, true
	}
	return schema.GroupVersionResource{}, false
}

// event queues the requests that an event makes under every watch of its
// resource.
func (m *mapper) event(ctx context.Context, watches []numbered, e watch.Event) {
	for _, w := range watches {
		if w.Map == uint8(sdk.MapFunc) && (w.Arg == sdk.OnlyAdded && e.Type != watch.Added || w.Arg == sdk.OnlyDeleted && e.Type != watch.Deleted) {
			continue
		}
		m.object(ctx, w, e.Object)
		if e.Type == watch.Modified && e.Prev != nil && w.Map != uint8(sdk.MapSelf) {
			m.object(ctx, w, e.Prev)
		}
	}
}

func (m *mapper) object(ctx context.Context, w numbered, o *watch.Object) {
	switch sdk.MapKind(w.Map) {
	case sdk.MapSelf:
		m.r.queue.Add(Request{Namespace: o.Namespace, Name: o.Name})
	case sdk.MapNamespace:
		m.r.queue.Add(Request{Name: o.Namespace})
	case sdk.MapConstant:
		m.r.queue.Add(Request{Namespace: w.ToNamespace, Name: w.ToName})
	case sdk.MapFunc:
		m.call(ctx, w, o)
	default:
		m.meta(w, o)
	}
}

// meta serves the maps that look at labels, owners and fields.
func (m *mapper) meta(w numbered, o *watch.Object) {
	acc, err := meta.Accessor(o.Obj)
	if err != nil {
		return
	}
	switch sdk.MapKind(w.Map) {
	case sdk.MapLabel:
		if v := acc.GetLabels()[w.Arg]; v != "" {
			m.r.queue.Add(Request{Namespace: o.Namespace, Name: v})
		}
	case sdk.MapOwner:
		if ref := metav1.GetControllerOf(acc); ref != nil && sameKind(w.Arg, ref) {
			m.r.queue.Add(Request{Namespace: o.Namespace, Name: ref.Name})
		}
	case sdk.MapField:
		if v := m.field(w, o); v != "" {
			m.r.queue.Add(Request{Name: v})
		}
	}
}

// sameKind compares "apps/v1/ReplicaSet" with an owner reference; the version
// may differ.
func sameKind(arg string, ref *metav1.OwnerReference) bool {
	i := strings.LastIndexByte(arg, '/')
	if i < 0 || arg[i+1:] != ref.Kind {
		return false
	}
	want, err1 := schema.ParseGroupVersion(arg[:i])
	have, err2 := schema.ParseGroupVersion(ref.APIVersion)
	return err1 == nil && err2 == nil && want.Group == have.Group
}

// field reads a field: from the selectable ones where it is one of them, which
// is cheap, else from a tape.
func (m *mapper) field(w numbered, o *watch.Object) string {
	gvr, _ := parseResource(w.Resource)
	if d := m.r.table.Lookup(gvr.GroupResource()); d != nil && d.Strategy.Fields != nil {
		if set := d.Strategy.Fields(o.Obj); set.Has(w.Arg) {
			return set.Get(w.Arg)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.builder.Build(o.Obj)
	if err != nil {
		return ""
	}
	t, err := tape.Parse(b)
	if err != nil {
		return ""
	}
	return t.Root().Get(w.Arg).String()
}

// call asks the plugin's own map. A map that fails loses its event: it is
// counted as a fault of the plugin, and the next change of the object comes
// anyway.
func (m *mapper) call(ctx context.Context, w numbered, o *watch.Object) {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := m.builder.Build(o.Obj)
	if err != nil || !m.slot.open(ctx) {
		return
	}
	start := m.r.clock.Now()
	resp, err := m.slot.call(ctx, wire.OpMap, wire.AppendMap(nil, w.index, b))
	if err == nil {
		rd := wire.NewReader(resp)
		for _, q := range rd.Requests() {
			m.r.queue.Add(q)
		}
		err = rd.Err()
	}
	if err != nil && ctx.Err() == nil {
		m.r.log.Warn("map event", "resource", w.Resource, "namespace", o.Namespace, "name", o.Name, "error", err)
		if m.r.c.Called != nil {
			m.r.c.Called(time.Duration(m.r.clock.Since(start)), err)
		}
	}
}
