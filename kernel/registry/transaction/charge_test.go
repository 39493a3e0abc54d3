package transaction_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// book is a Secret that holds a total and has a limit.
type book struct {
	x     *fixture
	limit int
	plans atomic.Int64
}

func newBook(t testing.TB, x *fixture, limit int) *book {
	t.Helper()
	b := &book{x: x, limit: limit}
	x.other(t, b.id(), b.secret("0"))
	return b
}

func (b *book) id() recent.ID {
	return recent.IDOf(b.x.catalog.Lookup(secrets), "default", "total")
}

func (b *book) secret(total string) *corev1.Secret {
	s := &corev1.Secret{Data: map[string][]byte{"n": []byte(total)}}
	s.APIVersion, s.Kind, s.Namespace, s.Name = "v1", "Secret", "default", "total"
	return s
}

func (b *book) total(t testing.TB) string {
	t.Helper()
	o := b.x.stored(t, secrets, "total")
	if o == nil {
		return "gone"
	}
	return string(o.(*corev1.Secret).Data["n"])
}

// charge adds one.
func (b *book) charge() transaction.Charge {
	return transaction.Charge{ID: b.id(), Apply: func(cur runtime.Object) (runtime.Object, error) {
		s := cur.DeepCopyObject().(*corev1.Secret)
		n, err := strconv.Atoi(string(s.Data["n"]))
		if err != nil {
			return nil, err
		}
		if n >= b.limit {
			return nil, fmt.Errorf("%d of %d", n, b.limit)
		}
		s.Data["n"] = []byte(strconv.Itoa(n + 1))
		return s, nil
	}}
}

// create makes an object that is charged; its plan refuses what it sees not to fit, as
// a rule does.
func (b *book) create(name string) *transaction.Write {
	w := &transaction.Write{Verb: "create", ID: b.x.id(name), Blind: true}
	w.Plan = func(ctx context.Context, _ *watch.Object) (*transaction.Change, error) {
		b.plans.Add(1)
		ch := &transaction.Change{ID: b.x.id(name), Obj: configMap(name, "")}
		if o := b.x.objects.Lookup(b.id()); o != nil && string(o.Obj.(*corev1.Secret).Data["n"]) == strconv.Itoa(b.limit) {
			return nil, apierrors.NewForbidden(configMaps, name, fmt.Errorf("all %d are taken", b.limit))
		}
		if b.x.has(secrets.Resource, "total") {
			ch.Charges = append(ch.Charges, b.charge())
		}
		return ch, b.x.Encode(ch)
	}
	return w
}

// has tells whether the store has the object.
func (x *fixture) has(resource, name string) bool {
	_, ok, _, _ := x.store.Get(context.Background(), "/registry/"+resource+"/default/"+name)
	return ok
}

func TestChargeIsInTheCommit(t *testing.T) {
	x := newFixture(t)
	b := newBook(t, x, 5)
	x.store.count()
	res := x.must(t, b.create("a"))
	if n := x.store.count(); n != 1 || b.total(t) != "1" {
		t.Errorf("%d commits, total %s", n, b.total(t))
	}
	if o, _ := x.objects.Refresh(t.Context(), b.id()); o.Revision != res.Revision || x.objects.Lookup(b.id()).Revision != res.Revision {
		t.Errorf("the total is of revision %d, known %d, the object of %d", o.Revision, x.objects.Lookup(b.id()).Revision, res.Revision)
	}

	// Nothing is charged for what is not written.
	dry := b.create("b")
	dry.DryRun = true
	x.must(t, dry)
	if _, err := x.Do(t.Context(), b.create("a")); !apierrors.IsAlreadyExists(err) {
		t.Errorf("a second a: %v", err)
	}
	if b.total(t) != "1" {
		t.Errorf("total %s after a dry run and a failure", b.total(t))
	}
}

func TestChargesOfManyAtOnce(t *testing.T) {
	x := newFixture(t)
	b := newBook(t, x, 10)
	var made, refused atomic.Int64
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			switch _, err := x.Do(t.Context(), b.create(fmt.Sprint("o", i))); {
			case err == nil:
				made.Add(1)
			case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "all 10 are taken"):
				refused.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if made.Load() != 10 || refused.Load() != 40 || b.total(t) != "10" {
		t.Errorf("%d made, %d refused, total %s", made.Load(), refused.Load(), b.total(t))
	}
}

func TestChargesOfABatch(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		x := newFixture(t)
		b := newBook(t, x, 10)
		x.store.count()
		batch := func(from, n int) (made int, results []transaction.BatchResult) {
			results, err := x.Batch(t.Context(), n, func(i int) (*transaction.Write, error) { return b.create(fmt.Sprint("o", from+i)), nil }, atomic)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range results {
				if r.Err == nil {
					made++
				}
			}
			return made, results
		}
		if made, _ := batch(0, 6); made != 6 || b.total(t) != "6" {
			t.Errorf("atomic %v: %d made, total %s", atomic, made, b.total(t))
		}
		if n := x.store.count(); n > 2 {
			t.Errorf("atomic %v: %d commits for six writes", atomic, n)
		}
		made, results := batch(6, 6)
		want, total := 4, "10"
		if atomic {
			want, total = 0, "6"
		}
		if made != want || b.total(t) != total {
			t.Errorf("atomic %v: %d made, total %s", atomic, made, b.total(t))
		}
		if err := results[5].Err; !apierrors.IsForbidden(err) && !atomic {
			t.Errorf("the last is answered %v", err)
		}
	}
}

// TestChargeMeetsAnotherServer: a total that another server changed is charged as it is
// then, without asking the plan again.
func TestChargeMeetsAnotherServer(t *testing.T) {
	x := newFixture(t)
	b := newBook(t, x, 10)
	x.must(t, b.create("a"))
	b.plans.Store(0)
	x.store.intercept(func(ops []store.Op) error {
		x.store.before = nil
		x.other(t, b.id(), b.secret("7"))
		return nil
	})
	x.must(t, b.create("b"))
	if b.total(t) != "8" || b.plans.Load() != 1 {
		t.Errorf("total %s after %d plans", b.total(t), b.plans.Load())
	}
	if x.waited.Load() == 0 {
		t.Error("the cache was not caught up with")
	}
}

// TestChargeOfWhatIsGone: the plan is asked again, and says what it thinks of that.
func TestChargeOfWhatIsGone(t *testing.T) {
	x := newFixture(t)
	b := newBook(t, x, 10)
	w := b.create("a")
	plan := w.Plan
	w.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		ch, err := plan(ctx, cur)
		if b.plans.Load() == 1 {
			x.other(t, b.id(), nil)
		}
		return ch, err
	}
	x.must(t, w)
	if b.plans.Load() != 2 || b.total(t) != "gone" {
		t.Errorf("%d plans, total %s", b.plans.Load(), b.total(t))
	}
}

// TestChargeThatNeverFits: a plan that keeps charging what does not fit is refused with
// the charge's own words, and nothing is written.
func TestChargeThatNeverFits(t *testing.T) {
	x := newFixture(t)
	b := newBook(t, x, 0)
	for name, apply := range map[string]func(runtime.Object) (runtime.Object, error){
		"0 of 0":         b.charge().Apply,
		"panic: no book": func(runtime.Object) (runtime.Object, error) { panic("no book") },
	} {
		w := x.create("a", nil)
		plan := w.Plan
		w.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
			ch, err := plan(ctx, cur)
			ch.Charges = []transaction.Charge{{ID: b.id(), Apply: apply}}
			return ch, err
		}
		if _, err := x.Do(t.Context(), w); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if b.total(t) != "0" || x.has("configmaps", "a") {
		t.Error("something was written")
	}
}

// TestChargeOfWhatIsWritten: one commit cannot do both.
func TestChargeOfWhatIsWritten(t *testing.T) {
	x := newFixture(t)
	w := x.create("a", nil)
	plan := w.Plan
	w.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		ch, err := plan(ctx, cur)
		ch.Charges = []transaction.Charge{{ID: x.id("a"), Apply: func(o runtime.Object) (runtime.Object, error) { return o, nil }}}
		return ch, err
	}
	if _, err := x.Do(t.Context(), w); err == nil || !strings.Contains(err.Error(), "written, and charged") {
		t.Errorf("got %v", err)
	}
}
