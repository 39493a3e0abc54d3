package transaction_test

import (
	"context"
	"fmt"
	goruntime "runtime"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

func schemaOf(plural string) schema.GroupResource { return schema.GroupResource{Resource: plural} }

func (x *fixture) batch(t testing.TB, atomic bool, writes ...*transaction.Write) []transaction.BatchResult {
	t.Helper()
	results, err := x.Batch(t.Context(), len(writes), func(i int) (*transaction.Write, error) { return writes[i], nil }, atomic)
	if err != nil {
		t.Fatal(err)
	}
	return results
}

// Many writes take few commits, the last one by itself.
func TestBatch(t *testing.T) {
	x := newFixture(t)
	var writes []*transaction.Write
	for i := range 600 {
		writes = append(writes, x.create(fmt.Sprint("m", i), nil))
	}
	results := x.batch(t, false, writes...)
	for i, r := range results {
		if r.Err != nil || r.Result.Object.Name != fmt.Sprint("m", i) {
			t.Fatalf("%d: %+v", i, r)
		}
	}
	last := results[len(results)-1].Result.Revision
	if results[598].Result.Revision == last {
		t.Error("the last revision is of several objects")
	}
	if n := x.store.count(); n != 4 {
		t.Errorf("%d commits, want 4", n)
	}
}

// What fails fails alone, whether it is refused, is taken, panics or cannot even be
// made; writes of one object follow one another.
func TestBatchFaults(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("taken", nil))
	panics := x.create("p", nil)
	panics.Plan = nil
	writes := []*transaction.Write{x.create("a", nil), x.create("taken", nil), x.remove("none"), panics, x.appendTo("a", "1"), x.appendTo("a", "2"), x.appendTo("taken", "")}
	results, err := x.Batch(t.Context(), len(writes)+1, func(i int) (*transaction.Write, error) {
		if i == len(writes) {
			return nil, apierrors.NewBadRequest("x")
		}
		return writes[i], nil
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range results {
		switch {
		case r.Err == nil:
			got = append(got, "ok")
		case apierrors.IsAlreadyExists(r.Err), apierrors.IsNotFound(r.Err), apierrors.IsBadRequest(r.Err):
			got = append(got, string(apierrors.ReasonForError(r.Err)))
		default:
			got = append(got, r.Err.Error()[:5])
		}
	}
	if want := "ok AlreadyExists NotFound panic ok ok ok BadRequest"; strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if v := x.value(t, "a"); v != "12" {
		t.Errorf("a has %q", v)
	}
}

// The one that another writer was faster than goes again; the others do not.
func TestBatchConflict(t *testing.T) {
	x := newFixture(t)
	for _, n := range []string{"a", "b", "c"} {
		x.must(t, x.create(n, nil))
	}
	once := true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			x.other(t, x.id("b"), configMap("b", "o"))
		}
		return nil
	})
	for i, r := range x.batch(t, false, x.appendTo("a", "1"), x.appendTo("b", "1"), x.appendTo("c", "1")) {
		if r.Err != nil {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if got := x.value(t, "a") + x.value(t, "b") + x.value(t, "c"); got != "1o11" {
		t.Errorf("stored %q", got)
	}
}

// A commit that the store finds too large goes in halves.
func TestBatchTooLarge(t *testing.T) {
	x := newFixture(t)
	x.store.intercept(func(ops []store.Op) error {
		if len(ops) > 2 {
			return store.ErrTooLarge
		}
		return nil
	})
	var writes []*transaction.Write
	for i := range 9 {
		writes = append(writes, x.create(fmt.Sprint("m", i), nil))
	}
	for i, r := range x.batch(t, false, writes...) {
		if r.Err != nil || x.stored(t, configMaps, fmt.Sprint("m", i)) == nil {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
}

// All or none, at one revision, companions included.
func TestAtomic(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("b", nil))
	x.must(t, x.create("c", nil))
	x.store.count()
	results := x.batch(t, true, x.create("a", take), x.appendTo("b", "1"), x.remove("c"))
	for i, r := range results {
		if r.Err != nil || r.Result.Revision != results[0].Result.Revision {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if x.store.count() != 1 || x.stored(t, secrets, "s1") == nil || x.stored(t, configMaps, "c") != nil {
		t.Error("not all is written in one commit")
	}
	for i, r := range x.batch(t, true, x.create("d", nil), x.create("a", nil)) {
		if r.Err == nil || x.stored(t, configMaps, "d") != nil || i == 0 != strings.Contains(r.Err.Error(), "another item") {
			t.Errorf("%d: %+v", i, r)
		}
	}
}

// One that another writer was faster than goes again, with all others.
func TestAtomicConflict(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("a", nil))
	x.must(t, x.create("b", nil))
	once := true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			x.other(t, x.id("b"), configMap("b", "o"))
		}
		return nil
	})
	results := x.batch(t, true, x.appendTo("a", "1"), x.appendTo("b", "1"))
	if results[0].Err != nil || results[1].Err != nil || x.value(t, "a")+x.value(t, "b") != "1o1" || results[0].Result.Revision != results[1].Result.Revision {
		t.Errorf("%+v, stored %q %q", results, x.value(t, "a"), x.value(t, "b"))
	}
}

// What one commit cannot take is refused as a whole.
func TestAtomicRefused(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("a", nil))
	var many []*transaction.Write
	for i := range store.MaxOps + 1 {
		many = append(many, x.create(fmt.Sprint("m", i), nil))
	}
	for name, writes := range map[string][]*transaction.Write{
		"too many": many,
	} {
		_, err := x.Batch(t.Context(), len(writes), func(i int) (*transaction.Write, error) { return writes[i], nil }, true)
		if err == nil || x.value(t, "a") != "" || x.stored(t, configMaps, "m0") != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An atomic batch holds and writes 8 MiB of objects, and not one more: the item that
// passes the bound is refused, and so are the others. A dry run holds as much, and says
// the same. What need not be atomic is committed in parts.
func TestAtomicBound(t *testing.T) {
	const most, size = 8 << 20, 1 << 20
	for name, tc := range map[string]struct {
		objects, bytes       int // the last object is shorter, so that all have so many
		atomic, dryRun, fits bool
	}{
		"all that fits":         {objects: 8, bytes: most, atomic: true, fits: true},
		"a byte too much":       {objects: 8, bytes: most + 1, atomic: true},
		"much too much":         {objects: 40, bytes: 5 * most, atomic: true},
		"a dry run":             {objects: 8, bytes: most, atomic: true, dryRun: true, fits: true},
		"a dry run of too much": {objects: 8, bytes: most + 1, atomic: true, dryRun: true},
		"in parts":              {objects: 16, bytes: 2 * most, fits: true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t)
			var planned atomic.Int64
			var writes []*transaction.Write
			for i, left := 0, tc.bytes; i < tc.objects; i++ {
				n := min(left, size)
				if i == tc.objects-1 {
					n = left
				}
				writes, left = append(writes, x.sized(t, fmt.Sprintf("m%02d", i), n, tc.dryRun, &planned)), left-n
			}
			refused := 0
			for i, r := range x.batch(t, tc.atomic, writes...) {
				switch {
				case apierrors.IsRequestEntityTooLargeError(r.Err):
					refused++
				case (r.Err == nil) != tc.fits, r.Err != nil && !transaction.IsAborted(r.Err):
					t.Errorf("%d: %v", i, r.Err)
				}
			}
			if (refused == 0) != tc.fits || (x.stored(t, configMaps, "m00") != nil) != (tc.fits && !tc.dryRun) {
				t.Errorf("%d are refused as too much, m00 is %v", refused, x.stored(t, configMaps, "m00") != nil)
			}
			// Every goroutine may be at one when the bound is passed.
			if n := planned.Load(); tc.atomic && n > most/size+int64(goruntime.GOMAXPROCS(0)) {
				t.Errorf("%d objects were planned and held", n)
			}
		})
	}
}

// A batch whose request has ended stops, and says so for what is left.
func TestBatchEnds(t *testing.T) {
	x := newFixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	x.must(t, x.create("a", nil))
	x.store.intercept(func([]store.Op) error {
		cancel()
		x.other(t, x.id("a"), configMap("a", "o"))
		return nil
	})
	w := x.appendTo("a", "1")
	results, err := x.Batch(ctx, 1, func(int) (*transaction.Write, error) { return w, nil }, false)
	if err != nil || results[0].Err == nil || x.value(t, "a") != "o" {
		t.Errorf("%+v, %v", results, err)
	}
}

// Two items of an atomic batch that choose the same, of what goes with them or as
// their names, both get one: the later chooses again, and sees what the others do.
func TestAtomicChoosesAgain(t *testing.T) {
	x := newFixture(t)
	for i, r := range x.batch(t, true, x.create("a", take), x.create("b", take), x.create("c", take)) {
		if r.Err != nil {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if got := x.value(t, "a") + x.value(t, "b") + x.value(t, "c"); got != "s1s2s3" || x.store.count() != 1 {
		t.Errorf("took %s", got)
	}
	for i, r := range x.batch(t, true, x.create("d", nil), x.create("e", take)) { // none is left
		if r.Err == nil || x.stored(t, configMaps, "d") != nil || i == 1 != strings.Contains(r.Err.Error(), "none is free") {
			t.Errorf("%d: %+v", i, r)
		}
	}
	var got []string
	for _, r := range x.batch(t, true, x.draw("n1"), x.draw("n1", "n2"), x.draw("n3", "n4"), x.create("n3", nil)) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		got = append(got, r.Result.Object.Name)
	}
	if want := "n1 n2 n4 n3"; strings.Join(got, " ") != want {
		t.Errorf("drew %q, want %s", got, want)
	}
}

// Of two items that write one object, or want one companion and no other, the later
// has the error that it would have had alone, after the other; nothing is written.
func TestAtomicTwice(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("a", nil))
	x.store.count()
	stubborn := func(context.Context, resource.Reader, runtime.Object, runtime.Object) ([]resource.Companion, error) {
		return []resource.Companion{{Resource: secrets, Namespace: "default", Name: "s1", Object: &corev1.Secret{}}}, nil
	}
	for name, tt := range map[string]struct {
		writes []*transaction.Write
		is     func(error) bool
		item   string
	}{
		"created":       {[]*transaction.Write{x.create("n", nil), x.create("n", nil)}, apierrors.IsAlreadyExists, `configmaps "n"`},
		"updated":       {[]*transaction.Write{x.appendTo("a", "1"), x.appendTo("a", "2")}, apierrors.IsConflict, `configmaps "a"`},
		"one companion": {[]*transaction.Write{x.create("m", stubborn), x.create("o", stubborn)}, apierrors.IsConflict, `configmaps "o"`},
	} {
		results := x.batch(t, true, tt.writes...)
		if first, err := results[0].Err, results[1].Err; first == nil || !strings.Contains(first.Error(), "another item") || !tt.is(err) || !strings.Contains(err.Error(), tt.item) {
			t.Errorf("%s: %v, %v", name, first, err)
		}
		if x.store.count() != 0 {
			t.Errorf("%s: something was written", name)
		}
	}
}

// claim is a hook that does one thing with the Secret s1.
func claim(change func(s *corev1.Secret) resource.Companion) transaction.Hook {
	return func(ctx context.Context, r resource.Reader, _, _ runtime.Object) ([]resource.Companion, error) {
		o, err := r.Get(ctx, secrets, "default", "s1")
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, err
		}
		s, _ := o.(*corev1.Secret)
		c := change(s.DeepCopy())
		c.Resource, c.Namespace, c.Name = secrets, "default", "s1"
		return []resource.Companion{c}, nil
	}
}

// Items that leave one companion as it is do not stand in each other's way, nor in
// that of one who writes it.
func TestAtomicKeeps(t *testing.T) {
	keep := claim(func(s *corev1.Secret) resource.Companion {
		if s == nil {
			return resource.Companion{Keep: true}
		}
		return resource.Companion{Old: s, Keep: true}
	})
	drop := claim(func(s *corev1.Secret) resource.Companion {
		if s == nil {
			return resource.Companion{}
		}
		return resource.Companion{Old: s}
	})
	for name, tt := range map[string]struct {
		there  bool // before
		hooks  []transaction.Hook
		after  bool
		change bool // another server changes it first
	}{
		"both keep it":           {there: true, hooks: []transaction.Hook{keep, keep}, after: true},
		"both keep it gone":      {hooks: []transaction.Hook{keep, keep, drop, drop}},
		"one keeps, one deletes": {there: true, hooks: []transaction.Hook{keep, drop}},
		"one deletes, one keeps": {there: true, hooks: []transaction.Hook{drop, keep}},
		"one keeps, one creates": {hooks: []transaction.Hook{keep, take, drop}, after: true},
		"another is faster":      {there: true, hooks: []transaction.Hook{keep, keep}, after: true, change: true},
	} {
		t.Run(name, func(t *testing.T) {
			x := newFixture(t)
			if tt.there {
				x.must(t, x.create("first", take))
			}
			before := x.stored(t, secrets, "s1")
			x.store.intercept(func([]store.Op) error {
				if tt.change {
					tt.change = false
					id := recent.IDOf(x.catalog.Lookup(secrets), "default", "s1")
					x.other(t, id, before)
				}
				return nil
			})
			var writes []*transaction.Write
			for i, h := range tt.hooks {
				writes = append(writes, x.create(fmt.Sprint("m", i), h))
			}
			for i, r := range x.batch(t, true, writes...) {
				if r.Err != nil {
					t.Errorf("%d: %v", i, r.Err)
				}
			}
			if after := x.stored(t, secrets, "s1"); (after != nil) != tt.after {
				t.Errorf("the companion is %v", after)
			}
		})
	}
}

// Items that change one companion do it one after another, in one commit; all go
// again when another server has changed it.
func TestAtomicChangesOneAfterAnother(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("first", take))
	x.store.count()
	count := claim(func(s *corev1.Secret) resource.Companion {
		s.Data = map[string][]byte{"n": append(s.Data["n"], 'x')}
		return resource.Companion{Object: s, Update: true}
	})
	once := true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			s := x.stored(t, secrets, "s1").(*corev1.Secret)
			s.Data = map[string][]byte{"n": []byte("o")}
			x.other(t, recent.IDOf(x.catalog.Lookup(secrets), "default", "s1"), s)
		}
		return nil
	})
	results := x.batch(t, true, x.create("a", count), x.create("b", count), x.create("c", count))
	for i, r := range results {
		if r.Err != nil || r.Result.Revision != results[0].Result.Revision {
			t.Errorf("%d: %+v", i, r)
		}
	}
	id := recent.IDOf(x.catalog.Lookup(secrets), "default", "s1")
	if got, known := x.stored(t, secrets, "s1").(*corev1.Secret), x.objects.Lookup(id); string(got.Data["n"]) != "oxxx" || known == nil || string(known.Obj.(*corev1.Secret).Data["n"]) != "oxxx" {
		t.Errorf("stored %q, known as %+v", got.Data["n"], known)
	}
	if n := x.store.count(); n != 2 {
		t.Errorf("%d commits, want 2", n)
	}
}

// What an item finds as it is to be must still be so when the others are written.
func TestAtomicUnchanged(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("a", nil))
	x.must(t, x.create("b", nil))
	was := x.must(t, x.appendTo("a", "1"))
	x.store.count()
	results := x.batch(t, true, x.appendTo("a", ""), x.appendTo("b", "1"), x.appendTo("a", ""))
	for _, i := range []int{0, 2} {
		if r := results[i]; r.Err != nil || r.Result.Revision != was.Revision {
			t.Errorf("%d: %+v", i, r)
		}
	}
	if x.value(t, "b") != "1" || x.store.count() != 1 {
		t.Error("b was not written, or more than once")
	}
	// Another is faster: the item is planned again from what he wrote.
	once := true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			x.other(t, x.id("a"), configMap("a", "o"))
		}
		return nil
	})
	results = x.batch(t, true, x.appendTo("a", ""), x.appendTo("b", "2"))
	if results[0].Err != nil || results[1].Err != nil || results[0].Result.Object.Obj.(*corev1.ConfigMap).Data["a"] != "o" || x.value(t, "b") != "12" {
		t.Errorf("%+v", results)
	}
	// He deletes it: nothing is written.
	once = true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			x.other(t, x.id("a"), nil)
		}
		return nil
	})
	results = x.batch(t, true, x.appendTo("a", ""), x.appendTo("b", "3"))
	if !apierrors.IsNotFound(results[0].Err) || results[1].Err == nil || x.value(t, "b") != "12" {
		t.Errorf("%+v, b has %q", results, x.value(t, "b"))
	}
	x.store.intercept(nil)
	x.store.count()
	if r := x.batch(t, true, x.appendTo("b", "")); r[0].Err != nil || x.store.count() != 0 {
		t.Errorf("nothing to write: %+v", r)
	}
}

// A kind that panics, in whichever of its hooks, is the error of its write, in
// whichever goroutine that runs.
func TestPanics(t *testing.T) {
	x := newFixture(t)
	planning := func(name string) *transaction.Write {
		w := x.create(name, nil)
		w.Plan = func(context.Context, *watch.Object) (*transaction.Change, error) { panic("plan") }
		return w
	}
	replying := func(name string) *transaction.Write {
		w := x.create(name, nil)
		plan := w.Plan
		w.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
			ch, err := plan(ctx, cur)
			ch.Reply = func(*watch.Object) (runtime.Object, error) { panic("reply") }
			return ch, err
		}
		return w
	}
	want := func(what string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "panic: "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := x.Do(t.Context(), planning("a"))
	want("plan", err)
	_, err = x.Do(t.Context(), replying("b"))
	want("reply", err)
	results := x.batch(t, false, x.create("c", nil), planning("d"), replying("e"), x.create("f", nil))
	want("plan", results[1].Err)
	want("reply", results[2].Err)
	if results[0].Err != nil || results[3].Err != nil {
		t.Errorf("others: %+v", results)
	}
	results = x.batch(t, true, x.create("g", nil), replying("h"))
	want("reply", results[1].Err)
	if results[0].Err != nil || x.stored(t, configMaps, "h") == nil {
		t.Errorf("written with it: %+v", results[0])
	}
}
