package transaction_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/store"
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
		"too many":  many,
		"one twice": {x.appendTo("a", "1"), x.appendTo("a", "2")},
	} {
		_, err := x.Batch(t.Context(), len(writes), func(i int) (*transaction.Write, error) { return writes[i], nil }, true)
		if err == nil || x.value(t, "a") != "" || x.stored(t, configMaps, "m0") != nil {
			t.Errorf("%s: %v", name, err)
		}
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
