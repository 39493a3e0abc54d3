// Package hosttest is the suite that every plugin host passes: one plugin,
// one table of requests, the same answers. What hosts may differ in is not in
// it: how a deadline and memory are enforced (see package wasm's tests).
package hosttest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Open opens an instance of the suite's plugin in the host under test.
type Open func(ctx context.Context, o plugin.OpenOptions) (plugin.Instance, error)

// Run runs the suite.
func Run(t *testing.T, open Open) {
	t.Run("manifest", func(t *testing.T) { testManifest(t, open) })
	t.Run("open errors", func(t *testing.T) { testOpenErrors(t, open) })
	t.Run("operations", func(t *testing.T) { testOperations(t, open) })
	t.Run("large messages", func(t *testing.T) { testLarge(t, open) })
	t.Run("panic", func(t *testing.T) { testPanic(t, open) })
	t.Run("region", func(t *testing.T) { testRegion(t, open) })
	t.Run("reconcile", func(t *testing.T) { testReconcile(t, open) })
	t.Run("declared fields", func(t *testing.T) { testFields(t, open) })
	t.Run("pod", func(t *testing.T) { testPod(t, open) })
	t.Run("reserve", func(t *testing.T) { testReserve(t, open) })
	t.Run("review reads", func(t *testing.T) { testReads(t, open) })
	t.Run("no kernel", func(t *testing.T) { testNoKernel(t, open) })
	t.Run("later server", func(t *testing.T) { testLaterServer(t, open) })
	t.Run("closed", func(t *testing.T) { testClosed(t, open) })
	t.Run("cancelled", func(t *testing.T) { testCancelled(t, open) })
}

// Later wraps an instance so that it is asked as by a server of a later minor
// version, whose requests have a field more at their end.
type Later struct{ plugin.Instance }

// Call implements plugin.Instance.
func (l Later) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	if op != wire.OpMap && op != schedule.OpPreFilter { // these end with an object, and have no end to grow at
		req = append(slices.Clone(req), "a field that came later"...)
	}
	return l.Instance.Call(ctx, op, req)
}

func testLaterServer(t *testing.T, open Open) {
	later := func(ctx context.Context, o plugin.OpenOptions) (plugin.Instance, error) {
		in, err := open(ctx, o)
		if err != nil {
			return nil, err
		}
		return Later{in}, nil
	}
	t.Run("operations", func(t *testing.T) { testOperations(t, later) })
	t.Run("reconcile", func(t *testing.T) { testReconcile(t, later) })
	t.Run("reserve", func(t *testing.T) { testReserve(t, later) })
	t.Run("pod", func(t *testing.T) { testPod(t, later) })
}

func mustOpen(t *testing.T, open Open, o plugin.OpenOptions) plugin.Instance {
	t.Helper()
	if o.Name == "" {
		o.Name = "suite"
	}
	if o.Limits.CallTimeout == 0 {
		o.Limits.CallTimeout = 20 * time.Second
	}
	in, err := open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := in.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return in
}

func testManifest(t *testing.T, open Open) {
	got := mustOpen(t, open, plugin.OpenOptions{}).Manifest()
	want := wire.Manifest{
		Name: "suite", Version: "1.2.3", Major: wire.Major, Minor: wire.Minor,
		Points: wire.PointFilter | wire.PointScore | wire.PointMutate | wire.PointValidate | wire.PointController | wire.PointConvert,
		Scope:  1, Workers: 3,
		Match: []wire.Match{{Operations: []string{"CREATE"}, Resources: []string{"v1/pods", "apps/*/*"}, ExceptNamespaces: []string{"kube-system"}, Present: []string{"metadata.name"}}},
		Watches: []wire.Watch{
			{Resource: "apps/v1/deployments"},
			{Resource: "v1/pods", Map: 1, Arg: "apps/v1/Deployment"},
			{Resource: "v1/configmaps", Map: 6, Present: []string{"data.for"}},
			{Resource: "v1/nodes", Map: 5, ToNamespace: "a", ToName: "b"},
		},
		Implements: []string{"v1/limitranges", "apps/v1/deployments"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("manifest (-want +got):\n%s", d)
	}
}

func testOpenErrors(t *testing.T, open Open) {
	for _, c := range []struct {
		name string
		o    plugin.OpenOptions
		kind wire.Kind
		text string
	}{
		{"unknown plugin", plugin.OpenOptions{Name: "nobody"}, wire.KindNotFound, `the module holds no plugin "nobody"`},
		{"config refused", plugin.OpenOptions{Name: "suite", Config: []byte("refuse")}, wire.KindPlugin, "this config is refused"},
		{"panic in New", plugin.OpenOptions{Name: "suite", Config: []byte("panic")}, wire.KindTrap, "no config"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := open(t.Context(), c.o)
			if err == nil {
				_ = in.Close()
				t.Fatal("Open succeeded")
			}
			if got := wire.KindOf(err); got != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q of kind %v, want %q of kind %v", err, got, c.text, c.kind)
			}
		})
	}
	other := mustOpen(t, open, plugin.OpenOptions{Name: "other"})
	if p := other.Manifest().Points; p != 0 {
		t.Errorf("plugin without points serves %v", p.Names())
	}
}

// object makes the record of all of an object.
func object(t testing.TB, v any) []byte {
	t.Helper()
	b, err := record.NewEncoder(nil).Plan(nil).Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

type m = map[string]any

func pod(name, image string) m {
	return m{"metadata": m{"name": name, "namespace": "default", "labels": m{"app.kubernetes.io/name": name}},
		"spec": m{"nodeName": "n1", "containers": []any{m{"name": "c", "image": image}}}}
}

func review(t testing.TB, name string, obj, old any) []byte {
	h := wire.ReviewHeader{Operation: "CREATE", Resource: "v1/pods", Kind: "v1/Pod", Namespace: "default", Name: name, User: "ann", Groups: []string{"dev", "ops"}}
	var o, p []byte
	if obj != nil {
		o = object(t, obj)
	}
	if old != nil {
		h.Operation = "UPDATE"
		p = object(t, old)
	}
	return wire.AppendReview(nil, h, o, p)
}

func verdict(v wire.Verdict) []byte { return v.Append(nil) }

func conversion(objects ...string) []byte {
	c := wire.Conversion{To: "shop.example/v2"}
	for _, o := range objects {
		c.Objects = append(c.Objects, []byte(o))
	}
	return c.Append(nil)
}

func testOperations(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	for _, c := range []struct {
		name string
		op   wire.Op
		req  []byte
		want []byte
		kind wire.Kind
		text string
	}{
		{name: "allow", op: wire.OpValidate, req: review(t, "a", pod("a", "web:1"), nil), want: verdict(wire.Verdict{})},
		{name: "deny", op: wire.OpValidate, req: review(t, "a", pod("a", "web:latest"), nil),
			want: verdict(wire.Verdict{Denied: true, Message: "spec.containers[0].image: web:latest is not pinned"})},
		{name: "warn", op: wire.OpValidate, req: review(t, "a", pod("a", "web:1"), pod("b", "web:1")),
			want: verdict(wire.Verdict{Warnings: []string{"the name changes"}})},
		{name: "delete", op: wire.OpValidate, req: review(t, "a", nil, pod("a", "web:1")), want: verdict(wire.Verdict{Warnings: []string{"the name changes"}})},
		{name: "charge", op: wire.OpValidate, req: review(t, "charge", pod("a", "web:1"), nil), want: wire.Findings{Charges: []wire.Charge{{Resource: "v1/resourcequotas", Namespace: "default",
			Name: "q", UID: "u", Totals: "status.used", Limits: "status.hard", Amounts: []wire.Amount{{Key: "cpu", Quantity: "500m"}, {Key: "pods", Quantity: "1"}},
			Bounds: []wire.Amount{{Key: "cpu", Quantity: "1"}, {Key: "pods", Quantity: "2"}}}}}.Append(verdict(wire.Verdict{}))},
		{name: "print", op: wire.OpValidate, req: review(t, "print", pod("a", "web:1"), nil), want: verdict(wire.Verdict{})},
		{name: "mutate", op: wire.OpMutate, req: review(t, "a", pod("a", "web:1"), nil), want: verdict(wire.Verdict{Patch: []wire.PatchOp{
			{Path: "metadata.labels[seen.by/suite]", Value: []byte(`"a"`)}, {Remove: true, Path: "spec.nodeName"}}})},
		{name: "plugin error", op: wire.OpValidate, req: review(t, "error", pod("a", "web:1"), nil), kind: wire.KindPlugin, text: "cannot decide"},
		{name: "map", op: wire.OpMap, req: wire.AppendMap(nil, 2, object(t, m{"metadata": m{"namespace": "ns"}, "data": m{"for": "x y"}})),
			want: wire.Request{Namespace: "ns", Name: "y"}.Append(wire.Request{Namespace: "ns", Name: "x"}.Append([]byte{2}))},
		{name: "map without function", op: wire.OpMap, req: wire.AppendMap(nil, 0, object(t, m{})), kind: wire.KindUnsupported},
		{name: "map out of range", op: wire.OpMap, req: wire.AppendMap(nil, 99, object(t, m{})), kind: wire.KindUnsupported},
		{name: "convert", op: wire.OpConvert, req: conversion(`{"apiVersion":"shop.example/v1","a":1}`, `{"apiVersion":"shop.example/v1","b":[]}`),
			want: wire.AppendObjects(nil, [][]byte{[]byte(`{"apiVersion":"shop.example/v2","a":1}`), []byte(`{"apiVersion":"shop.example/v2","b":[]}`)})},
		{name: "convert nothing", op: wire.OpConvert, req: conversion(), want: wire.AppendObjects(nil, nil)},
		{name: "convert what is refused", op: wire.OpConvert, req: conversion(`{}`, `{"name":"refuse"}`), kind: wire.KindPlugin, text: "object 2 of 2: spec.size: cannot be less than nothing"},
		{name: "unknown operation", op: 50, kind: wire.KindUnsupported},
		{name: "unknown scheduling operation", op: wire.OpScheduling + 99, kind: wire.KindUnsupported},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := in.Call(t.Context(), c.op, c.req)
			if c.kind != 0 {
				if wire.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("error %v, want %q of kind %v", err, c.text, c.kind)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(c.want), string(got)); d != "" {
				t.Errorf("answer (-want +got):\n%s", d)
			}
		})
	}
}

// testFields: a plugin that declares what it reads is shown that, and fails when
// it reads something else.
func testFields(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{Config: []byte("declares")})
	m := in.Manifest()
	if want := "metadata(name),spec(containers(image))"; m.Fields != want || len(m.Watches) != 1 || m.Watches[0].Fields != "data(for),metadata(namespace)" {
		t.Fatalf("fields %q, want %q; watches %+v", m.Fields, want, m.Watches)
	}
	show := func(fields string, obj any) []byte {
		t.Helper()
		plan, err := projection.Of(fields)
		if err != nil {
			t.Fatal(err)
		}
		b, err := plan.Append(nil, obj)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ask := func(name string) ([]byte, error) {
		return in.Call(t.Context(), wire.OpValidate, wire.AppendReview(nil, wire.ReviewHeader{Operation: "CREATE", Name: name}, show(m.Fields, pod("a", "web:1")), nil))
	}
	resp, err := ask("a")
	if want := verdict(wire.Verdict{Warnings: []string{"a web:1"}}); err != nil || string(resp) != string(want) {
		t.Errorf("declared fields: %q, %v, want %q", resp, err, want)
	}
	if _, err := ask("undeclared"); wire.KindOf(err) != wire.KindPlugin || !strings.Contains(err.Error(), `reads "nodeName"`) {
		t.Errorf("an undeclared field: %v", err)
	}
	obj := show(m.Watches[0].Fields, map[string]any{"metadata": map[string]any{"namespace": "ns", "name": "left out"}, "data": map[string]any{"for": "x"}})
	resp, err = in.Call(t.Context(), wire.OpMap, wire.AppendMap(nil, 0, obj))
	if want := wire.AppendRequests(nil, []wire.Request{{Namespace: "ns", Name: "x"}}); err != nil || string(resp) != string(want) {
		t.Errorf("map: %q, %v, want %q", resp, err, want)
	}
}

func testLarge(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	for _, size := range []int{0, 1, 4095, 4096, 70_000, 6 << 20} {
		p := pod("a", strings.Repeat("i", size))
		p["spec"].(m)["size"] = size
		resp, err := in.Call(t.Context(), wire.OpMutate, review(t, "a", p, nil))
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		v := wire.NewReader(resp).Verdict()
		if size > 0 && (len(v.Patch) != 1 || len(v.Patch[0].Value) != size+2) {
			t.Errorf("%d bytes: %d changes of %d bytes in all", size, len(v.Patch), len(resp))
		}
	}
}

func testPanic(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	_, err := in.Call(t.Context(), wire.OpValidate, review(t, "panic", pod("a", "web:1"), nil))
	if !errors.Is(err, wire.ErrTrap) || !strings.Contains(err.Error(), "assignment to entry in nil map") {
		t.Errorf("error %v, want a trap that names the panic", err)
	}
	if _, err := in.Call(t.Context(), wire.OpValidate, review(t, "a", pod("a", "web:1"), nil)); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("a call after a fault: %v, want ErrClosed", err)
	}
}

func testRegion(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	if in.Region() != nil {
		t.Error("there is a region before Reserve")
	}
	for _, size := range []int{1, 4096, 1_000_000} {
		b, err := in.Reserve(t.Context(), size)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) != size {
			t.Fatalf("reserved %d bytes, want %d", len(b), size)
		}
		for i, c := range b {
			if c != 0 {
				t.Fatalf("byte %d of a new region is %d", i, c)
			}
		}
		b[0], b[size-1] = 7, 9
		if _, err := in.Call(t.Context(), wire.OpValidate, review(t, "a", pod("a", "web:1"), nil)); err != nil {
			t.Fatal(err)
		}
		if r := in.Region(); len(r) != size || size > 1 && r[0] != 7 || r[size-1] != 9 {
			t.Errorf("region of %d bytes did not keep its contents", size)
		}
	}
}

// testReads: an admission rule reads other objects, and waits for missing ones.
func testReads(t *testing.T, open Open) {
	k := NewKernel()
	k.Put("v1/configmaps", m{"metadata": m{"namespace": "default", "name": "cm"}, "data": m{"text": "hello"}})
	in := mustOpen(t, open, plugin.OpenOptions{HostCall: k.Call})
	for name, want := range map[string]wire.Verdict{
		"reads-cm": {Warnings: []string{"hello"}},
		"reads-x":  {Denied: true, Message: "no x", Forbidden: true, Await: []wire.GetRequest{{Resource: "v1/configmaps", Namespace: "default", Name: "x"}}},
	} {
		resp, err := in.Call(t.Context(), wire.OpValidate, review(t, name, pod(name, "web:1"), nil))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, wire.NewReader(resp).Verdict()); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	_, err := mustOpen(t, open, plugin.OpenOptions{}).Call(t.Context(), wire.OpValidate, review(t, "reads-cm", pod("a", "web:1"), nil))
	if wire.KindOf(err) != wire.KindForbidden {
		t.Errorf("a read without a kernel: %v, want forbidden", err)
	}
}

func testNoKernel(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	_, err := in.Call(t.Context(), wire.OpReconcile, wire.Request{Namespace: "default", Name: "web"}.Append(nil))
	if wire.KindOf(err) != wire.KindForbidden {
		t.Errorf("reconcile without a kernel: %v, want forbidden", err)
	}
}

func testClosed(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	if err := in.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := in.Call(t.Context(), wire.OpValidate, nil); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("Call after Close: %v, want ErrClosed", err)
	}
	if _, err := in.Reserve(t.Context(), 10); !errors.Is(err, wire.ErrClosed) {
		t.Errorf("Reserve after Close: %v, want ErrClosed", err)
	}
	if err := in.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

// testCancelled: a call with a context that has ended does not reach the guest.
func testCancelled(t *testing.T, open Open) {
	in := mustOpen(t, open, plugin.OpenOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := in.Call(ctx, wire.OpValidate, review(t, "panic", pod("a", "web:1"), nil)); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want canceled", err)
	}
	if _, err := in.Call(t.Context(), wire.OpValidate, review(t, "a", pod("a", "web:1"), nil)); err != nil {
		t.Errorf("the instance was lost with a cancelled call: %v", err)
	}
}
