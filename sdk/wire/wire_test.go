package wire_test

import (
	"errors"
	"fmt"
	"math/bits"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
)

var conversion = wire.Conversion{To: "shop.example/v2", Objects: [][]byte{[]byte("{}"), []byte(`{"a":1}`)}}

// frames are one of each frame: what writes it and what reads it.
var frames = []struct {
	value  any
	append func([]byte) []byte
	read   func(*wire.Reader) any
}{
	{manifest, func(b []byte) []byte { return wire.AppendManifest(b, manifest) }, func(r *wire.Reader) any { return r.Manifest() }},
	{[]wire.Manifest{manifest, manifest}, func(b []byte) []byte { return wire.AppendManifests(b, []wire.Manifest{manifest, manifest}) }, func(r *wire.Reader) any { return wire.ReadManifests(r) }},
	{get, get.Append, func(r *wire.Reader) any { return r.GetRequest() }},
	{list, list.Append, func(r *wire.Reader) any { return r.ListRequest() }},
	{write, write.Append, func(r *wire.Reader) any { return r.WriteRequest() }},
	{patch, patch.Append, func(r *wire.Reader) any { return r.PatchRequest() }},
	{del, del.Append, func(r *wire.Reader) any { return r.DeleteRequest() }},
	{batch, batch.Append, func(r *wire.Reader) any { return r.BatchRequest() }},
	{conversion, conversion.Append, func(r *wire.Reader) any { return wire.ReadConversion(r) }},
	{event, event.Append, func(r *wire.Reader) any { return r.EventRequest() }},
	{verdict, verdict.Append, func(r *wire.Reader) any { return r.Verdict() }},
	{request, request.Append, func(r *wire.Reader) any { return r.Request() }},
}

var (
	manifest = wire.Manifest{Name: "n", Version: "1", Major: wire.Major, Minor: 7, Points: wire.PointFilter | wire.PointController, Scope: 1, Workers: 4,
		Match:   []wire.Match{{Operations: []string{"CREATE"}, Resources: []string{"a", ""}, Namespaces: []string{"x"}, Present: []string{"spec.a"}, Given: []string{"v1/limitranges"}, NamespaceLabels: []string{"a/b"}}},
		Watches: []wire.Watch{{Resource: "v1/pods", Map: 6, Arg: "a", ToNamespace: "b", ToName: "c", Present: []string{"spec.b"}, Fields: "data(for)"}}, Fields: "metadata(name)", Implements: []string{"v1/pods"}}
	get     = wire.GetRequest{Resource: "v1/pods", Namespace: "a", Name: "b", Only: "metadata(name)"}
	list    = wire.ListRequest{Resource: "v1/pods", Labels: "a=b", Fields: "c=d", Owner: wire.Owner{Kind: wire.OwnerUID, UID: "u"}, Only: "spec,status(phase)", Token: 1 << 60, Limit: 3000, Fresh: true}
	write   = wire.WriteRequest{Verb: "apply", Resource: "r", Subresource: "status", Force: true, Object: []byte("{}")}
	patch   = wire.PatchRequest{Resource: "r", Namespace: "a", Name: "b", Subresource: "s", Type: "t", Data: []byte("[]")}
	del     = wire.DeleteRequest{Resource: "r", Namespace: "a", Name: "b", UID: &uid, Propagation: "Orphan", Grace: -1}
	batch   = wire.BatchRequest{Atomic: true, Items: []wire.BatchItem{{Write: write}, {Write: wire.WriteRequest{Verb: "delete"}, Delete: del}, {Write: wire.WriteRequest{Verb: "patch"}, Patch: patch}}}
	event   = wire.EventRequest{Resource: "r", Namespace: "a", Name: "b", UID: "u", ResourceVersion: "5", Warning: true, Reason: "R", Message: "m"}
	verdict = wire.Verdict{Denied: true, Message: "no", Warnings: []string{"w"}, Forbidden: true, Await: []wire.GetRequest{{Resource: "v1/secrets", Namespace: "n", Name: "s"}}, Patch: []wire.PatchOp{{Remove: true, Path: "a.b", Value: []byte{}}, {Path: "c", Value: []byte("1")}}}
	request = wire.Request{Namespace: "a", Name: "b", Labels: "c=d"}
	uid     = "u"
)

func TestFrames(t *testing.T) {
	for _, f := range frames {
		b := f.append(nil)
		r := wire.NewReader(b)
		got := f.read(r)
		if err := r.Err(); err != nil || len(r.Rest()) > 0 {
			t.Errorf("%T: %v, %d bytes left", f.value, err, len(r.Rest()))
		}
		if !reflect.DeepEqual(got, f.value) {
			t.Errorf("%T: got %+v, want %+v", f.value, got, f.value)
		}
		r = wire.NewReader(append(b[:len(b):len(b)], "of a later minor version"...))
		if got := f.read(r); r.Err() != nil || !reflect.DeepEqual(got, f.value) {
			t.Errorf("%T with a field of a later minor version: got %+v, %v", f.value, got, r.Err())
		}
		older := map[int]wire.ListRequest{} // where what older sides send ends
		if _, ok := f.value.(wire.ListRequest); ok {
			before4, before1 := list, list
			before4.Fresh = false
			before1.Fresh, before1.Limit = false, 0
			older[len(b)-1], older[len(b)-1-len(wire.AppendUint(nil, list.Limit))] = before4, before1
		}
		for n := range b {
			r := wire.NewReader(b[:n])
			if want, ok := older[n]; ok {
				if got := f.read(r); r.Err() != nil || got != want {
					t.Errorf("%T of an older guest: %+v, %v", f.value, got, r.Err())
				}
				continue
			}
			if f.read(r); !errors.Is(r.Err(), wire.ErrProtocol) {
				t.Errorf("%T cut to %d of %d bytes: %v, want ErrProtocol", f.value, n, len(b), r.Err())
			}
		}
	}
}

// TestManifestsGrow: manifests that stand in a list have fields of a later minor
// version, or are of another major.
func TestManifestsGrow(t *testing.T) {
	later := append(wire.AppendManifest(nil, manifest), 7, 7, 7)
	other := append(wire.AppendUint(wire.AppendUint([]byte{1, 'o', 1, '3'}, wire.Major+1), 4), 0xff, 0xff)
	b := wire.AppendUint(nil, 3)
	for _, m := range [][]byte{later, other, later} {
		b = wire.AppendBytes(b, m)
	}
	r := wire.NewReader(b)
	got := wire.ReadManifests(r)
	want := []wire.Manifest{manifest, {Name: "o", Version: "3", Major: wire.Major + 1, Minor: 4}, manifest}
	if r.Err() != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, r.Err(), want)
	}
	r = wire.NewReader([]byte{1, 2, 1, 'n', 1, '1', 2, 0})
	if wire.ReadManifests(r); !errors.Is(r.Err(), wire.ErrProtocol) {
		t.Errorf("a manifest longer than its size: %v", r.Err())
	}
}

func TestFindings(t *testing.T) {
	want := wire.Findings{Invalid: []wire.Fault{{Field: "metadata.labels[a]", Value: "b", Detail: "must be c"}}, Annotations: []string{"k", "v"},
		Charges: []wire.Charge{{Resource: "v1/resourcequotas", Namespace: "ns", Name: "q", UID: "u", Totals: "status.used", Limits: "status.hard",
			Amounts: []wire.Amount{{Key: "pods", Quantity: "1"}}, Bounds: []wire.Amount{{Key: "pods", Quantity: "2"}, {Key: "requests.cpu", Quantity: "500m"}}}, {Resource: "v1/x", Amounts: []wire.Amount{{Key: "a", Quantity: "1"}}}}}
	b := want.Append(verdict.Append(nil))
	r := wire.NewReader(append(b[:len(b):len(b)], "of a later minor version"...))
	if v := r.Verdict(); !reflect.DeepEqual(v, verdict) {
		t.Errorf("verdict %+v", v)
	}
	if got := r.Findings(); r.Err() != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, r.Err(), want)
	}
	want.Charges = nil
	r = wire.NewReader(want.Append(nil))
	if got := r.Findings(); r.Err() != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("of a guest of 2.1: %+v, %v", got, r.Err())
	}
	r = wire.NewReader(verdict.Append(nil))
	r.Verdict()
	if got := r.Findings(); r.Err() != nil || !reflect.DeepEqual(got, wire.Findings{}) {
		t.Errorf("of a guest of 2.0: %+v, %v", got, r.Err())
	}
}

// TestManifestOfMinor0: a guest of the first minor version says nothing of what came
// with the second.
func TestManifestOfMinor0(t *testing.T) {
	m := manifest
	m.Minor = 0
	b := wire.AppendManifest(nil, m)
	m.Match = slices.Clone(m.Match)
	m.Match[0].Given, m.Match[0].NamespaceLabels = nil, nil
	for _, left := range [][]byte{b, b[:len(b)-len("\x01\x0ev1/limitranges\x01\x03a/b")]} {
		if got := wire.NewReader(left).Manifest(); !reflect.DeepEqual(got, m) {
			t.Errorf("got %+v, want %+v", got, m)
		}
	}
}

func TestOpenTellsTheVersion(t *testing.T) {
	r := wire.NewReader(wire.AppendOpen(nil, "n", []byte("{}")))
	name, config := r.Str(), r.Bytes()
	if v := r.Uint(); name != "n" || string(config) != "{}" || v != uint64(wire.Version(wire.Major, wire.Minor)) || len(r.Rest()) > 0 || r.Err() != nil {
		t.Errorf("open says %q, %q, version %#x, %v", name, config, v, r.Err())
	}
}

// TestReconcileRequest: who asks says what time it is; a server before 2.4 does not.
func TestReconcileRequest(t *testing.T) {
	want, at := wire.Request{Namespace: "n", Name: "x"}, time.Date(2026, 1, 1, 0, 0, 0, 1, time.UTC)
	if got, now, err := wire.ReconcileRequest(wire.AppendReconcile(nil, want, at)); got != want || !now.Equal(at) || err != nil {
		t.Errorf("%v at %v, %v", got, now, err)
	}
	if got, now, err := wire.ReconcileRequest(want.Append(nil)); got != want || !now.IsZero() || err != nil {
		t.Errorf("before 2.4: %v at %v, %v", got, now, err)
	}
	if _, _, err := wire.ReconcileRequest(append(want.Append(nil), 0x80)); wire.KindOf(err) != wire.KindProtocol {
		t.Errorf("half a time: %v", err)
	}
}

func TestReview(t *testing.T) {
	h := wire.ReviewHeader{Operation: "CREATE", Resource: "v1/pods", Kind: "v1/Pod", Namespace: "n", Name: "x", User: "u", Groups: []string{"g"}, DryRun: true}
	for _, object := range []string{"", "12345678", "1234567890"} {
		for _, old := range []string{"", "abcdefgh"} {
			b := wire.AppendReview(nil, h, []byte(object), []byte(old))
			r := wire.NewReader(b)
			got, o, p := r.Review()
			if r.Err() != nil || !reflect.DeepEqual(got, h) || string(o) != object || string(p) != old {
				t.Errorf("review of %q and %q: %+v %q %q %v", object, old, got, o, p, r.Err())
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for _, err := range []error{
		wire.Errorf(wire.KindNotFound, "pods %q not found", "x"), wire.ErrTrap, errors.New("plain"),
		fmt.Errorf("get: %w", wire.Errorf(wire.KindConflict, "changed")),
	} {
		_, got := wire.ParseResult(wire.AppendResult(nil, nil, err))
		if wire.KindOf(got) != wire.KindOf(err) {
			t.Errorf("%v crossed as %v of kind %v", err, got, wire.KindOf(got))
		}
		if k := wire.KindOf(err); !errors.Is(got, &wire.Error{Kind: k}) {
			t.Errorf("%v is not of kind %v any more", got, k)
		}
	}
	if b, err := wire.ParseResult(wire.AppendResult(nil, []byte("ok"), nil)); string(b) != "ok" || err != nil {
		t.Errorf("result %q, %v", b, err)
	}
	for _, bad := range [][]byte{nil, {2}, {1}, {1, 5, 200}} {
		if _, err := wire.ParseResult(bad); !errors.Is(err, wire.ErrProtocol) {
			t.Errorf("response %v: %v, want ErrProtocol", bad, err)
		}
	}
}

func TestVersion(t *testing.T) {
	if err := wire.CheckVersion(wire.Version(wire.Major, 9)); err != nil {
		t.Errorf("a higher minor: %v", err)
	}
	for v, want := range map[uint32]string{
		wire.Version(1, 2): fmt.Sprintf("plugin ABI mismatch: the plugin speaks ABI 1.2, this server %d.%d: build the plugin anew", wire.Major, wire.Minor),
		wire.Version(9, 0): fmt.Sprintf("plugin ABI mismatch: the plugin speaks ABI 9.0, this server %d.%d: upgrade the server", wire.Major, wire.Minor),
	} {
		if err := wire.CheckVersion(v); !errors.Is(err, wire.ErrABI) || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("another major: %v, want %q", err, want)
		}
	}
}

func FuzzFrames(f *testing.F) {
	for i, x := range frames {
		f.Add(i, x.append(nil))
	}
	f.Fuzz(func(_ *testing.T, i int, b []byte) {
		frames[uint(i)%uint(len(frames))].read(wire.NewReader(b))
		r := wire.NewReader(b)
		r.Review()
		_, _ = wire.ParseResult(b)
	})
}

func TestMapRequest(t *testing.T) {
	watch, object, err := wire.MapRequest(wire.AppendMap(nil, 300, []byte("record")))
	if err != nil || watch != 300 || string(object) != "record" {
		t.Errorf("got %d, %q, %v", watch, object, err)
	}
	if _, _, err := wire.MapRequest([]byte{0x80}); err == nil {
		t.Error("a frame that is cut short is taken")
	}
}

// TestPointsHaveNames: whoever is asked for the names of points is told all of them,
// and finds the points by these.
func TestPointsHaveNames(t *testing.T) {
	all := 2*wire.PointConvert - 1 // the last one, and all before it
	names := all.Names()
	if got, want := len(names), bits.OnesCount32(uint32(all)); got != want {
		t.Errorf("%d of %d points have a name: %v", got, want, names)
	}
	if got := wire.PointsOf(names); got != all {
		t.Errorf("%v are %b, want %b", names, got, all)
	}
}
