package transaction_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// An object comes, changes and goes; what changes nothing, and a dry run, write
// nothing.
func TestLife(t *testing.T) {
	x := newFixture(t)
	made := x.must(t, x.create("m", nil))
	if !made.Created || made.Object.Obj.(metav1.Object).GetResourceVersion() != fmt.Sprint(made.Revision) {
		t.Errorf("created: %+v", made)
	}
	if _, err := x.Do(t.Context(), x.create("m", nil)); !apierrors.IsAlreadyExists(err) {
		t.Errorf("created again: %v", err)
	}
	changed := x.must(t, x.appendTo("m", "1"))
	if changed.Created || changed.Revision <= made.Revision || x.value(t, "m") != "1" {
		t.Errorf("changed: %+v, stored %q", changed, x.value(t, "m"))
	}
	x.store.count()
	if same := x.must(t, x.appendTo("m", "")); same.Revision != changed.Revision || x.store.count() != 0 {
		t.Errorf("not changed: %+v", same)
	}
	dry := x.appendTo("m", "2")
	dry.DryRun = true
	if res := x.must(t, dry); res.Object.Obj.(*corev1.ConfigMap).Data["a"] != "12" || x.value(t, "m") != "1" || x.store.count() != 0 {
		t.Errorf("dry run: %+v, stored %q", res, x.value(t, "m"))
	}
	gone := x.must(t, x.remove("m"))
	if gone.Revision <= changed.Revision || gone.Object.Obj.(*corev1.ConfigMap).Data["a"] != "1" || x.stored(t, configMaps, "m") != nil {
		t.Errorf("deleted: %+v", gone)
	}
	if _, err := x.Do(t.Context(), x.remove("m")); !apierrors.IsNotFound(err) {
		t.Errorf("deleted again: %v", err)
	}
}

// A write that another was faster than is planned again from the state that won,
// and forgets what it warned of.
func TestPlannedAgain(t *testing.T) {
	x := newFixture(t)
	x.must(t, x.create("m", nil))
	faster := 2
	x.store.intercept(func([]store.Op) error {
		if faster--; faster >= 0 {
			x.other(t, x.id("m"), configMap("m", strings.Repeat("o", 2-faster)))
		}
		return nil
	})
	w := x.appendTo("m", "1")
	plan := w.Plan
	w.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		w.Warn("once")
		return plan(ctx, cur)
	}
	if res := x.must(t, w); x.value(t, "m") != "oo1" || len(res.Warnings) != 1 {
		t.Errorf("stored %q, warnings %q", x.value(t, "m"), res.Warnings)
	}
	// Somebody who is always faster ends it.
	plans := 0
	x.store.intercept(func([]store.Op) error {
		plans++
		x.other(t, x.id("m"), configMap("m", fmt.Sprint(plans)))
		return nil
	})
	if _, err := x.Do(t.Context(), x.appendTo("m", "1")); !apierrors.IsConflict(err) || plans < 100 {
		t.Errorf("after %d tries: %v", plans, err)
	}
}

// What seems to be refused, or not there, is looked for in the store: the cache may
// be behind.
func TestRefusedByTheStoreOnly(t *testing.T) {
	x := newFixture(t)
	x.other(t, x.id("m"), configMap("m", "o"))
	x.must(t, x.appendTo("m", "1"))
	if got := x.value(t, "m"); got != "o1" {
		t.Errorf("stored %q", got)
	}
}

// A drawn name that is taken is drawn again, a few times.
func TestGeneratedNames(t *testing.T) {
	x := newFixture(t)
	for _, n := range []string{"n1", "n2"} {
		x.must(t, x.create(n, nil))
	}
	draw := func(from int) *transaction.Write {
		w := &transaction.Write{Verb: "create", ID: recent.ID{Definition: x.catalog.Lookup(configMaps), Namespace: "default"}, Blind: true}
		w.Plan = func(context.Context, *watch.Object) (*transaction.Change, error) {
			name := fmt.Sprintf("n%d", max(from, 1))
			from++
			ch := &transaction.Change{ID: x.id(name), Obj: configMap(name, ""), Generated: true}
			return ch, x.Encode(ch)
		}
		return w
	}
	if res := x.must(t, draw(1)); res.Object.Name != "n3" {
		t.Errorf("made %s", res.Object.Name)
	}
	_, err := x.Do(t.Context(), draw(-100))
	if !apierrors.IsAlreadyExists(err) || !strings.Contains(err.Error(), "could not find") && !strings.Contains(err.Error(), "server was not able to generate") {
		t.Errorf("always taken: %v", err)
	}
}

// take wants the first free of the secrets s1, s2, s3.
func take(ctx context.Context, r resource.Reader, obj, _ runtime.Object) ([]resource.Companion, error) {
	for _, name := range []string{"s1", "s2", "s3"} {
		if _, err := r.Get(ctx, secrets, "default", name); apierrors.IsNotFound(err) {
			obj.(*corev1.ConfigMap).Data["a"] = name
			return []resource.Companion{{Resource: secrets, Namespace: "default", Name: name, Object: &corev1.Secret{}}}, nil
		}
	}
	return nil, errors.New("none is free")
}

// Companions are written in the commit of their object; one that is taken meanwhile
// is chosen again.
func TestCompanions(t *testing.T) {
	x := newFixture(t)
	res := x.must(t, x.create("m", take))
	s, ok := x.stored(t, secrets, "s1").(*corev1.Secret)
	if !ok || s.UID == "" || s.ResourceVersion != fmt.Sprint(res.Revision) || x.value(t, "m") != "s1" || x.store.count() != 1 {
		t.Errorf("%+v, %+v", res, s)
	}
	once := true
	x.store.intercept(func([]store.Op) error {
		if once {
			once = false
			x.other(t, recent.IDOf(x.catalog.Lookup(secrets), "default", "s2"), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s2"}})
		}
		return nil
	})
	before := x.waited.Load()
	x.must(t, x.create("n", take))
	if by := x.waited.Load(); by <= before {
		t.Errorf("the hook looked again while the cache had revision %d, not what the other wrote", by)
	}
	if x.value(t, "n") != "s3" || x.stored(t, secrets, "s3") == nil {
		t.Errorf("n took %q", x.value(t, "n"))
	}
	x.store.intercept(nil)
	if _, err := x.Do(t.Context(), x.create("o", take)); !apierrors.IsInternalError(err) || x.stored(t, configMaps, "o") != nil {
		t.Errorf("none free: %v", err)
	}
	for name, list := range map[string][]resource.Companion{
		"unknown":    {{Resource: schemaOf("nothings"), Namespace: "default", Name: "x", Object: &corev1.Secret{}}},
		"unrevised":  {{Resource: secrets, Namespace: "default", Name: "s1", Object: &corev1.Secret{}, Update: true}},
		"unseen":     {{Resource: secrets, Namespace: "default", Name: "s1", Old: &corev1.Secret{}}},
		"old secret": {{Resource: secrets, Namespace: "default", Name: "s1", Object: &corev1.Secret{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1"}}, Update: true}},
	} {
		hook := func(context.Context, resource.Reader, runtime.Object, runtime.Object) ([]resource.Companion, error) {
			return list, nil
		}
		if _, err := x.Do(t.Context(), x.create("p", hook)); err == nil || x.stored(t, configMaps, "p") != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Companions that go with their object go, whatever the hook had seen of them: what
// the store has is learned, and the hook asked again.
func TestCompanionsThatGo(t *testing.T) {
	x := newFixture(t)
	s1 := recent.IDOf(x.catalog.Lookup(secrets), "default", "s1")
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s1"}}
	for name, seen := range map[string]runtime.Object{
		"as it is":       nil,
		"never seen":     nil,
		"an older state": &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "s1", ResourceVersion: "1"}},
	} {
		x.other(t, s1, secret)
		asked := 0
		hook := func(ctx context.Context, r resource.Reader, _, _ runtime.Object) ([]resource.Companion, error) {
			out := resource.Companion{Resource: secrets, Namespace: "default", Name: "s1", Old: seen}
			if asked++; asked > 1 || name == "as it is" {
				var err error
				if out.Old, err = r.Get(ctx, secrets, "default", "s1"); err != nil {
					return nil, err
				}
			}
			return []resource.Companion{out}, nil
		}
		x.must(t, x.create(strings.ReplaceAll(name, " ", "-"), hook))
		if again := asked > 1; x.stored(t, secrets, "s1") != nil || again == (name == "as it is") {
			t.Errorf("%s: asked %d times, s1 is there: %v", name, asked, x.stored(t, secrets, "s1") != nil)
		}
	}
	// There is none, as was seen.
	x.must(t, x.create("none", func(context.Context, resource.Reader, runtime.Object, runtime.Object) ([]resource.Companion, error) {
		return []resource.Companion{{Resource: secrets, Namespace: "default", Name: "s1"}}, nil
	}))
}

// An object that is too large is tried without its managedFields, unless it rests
// on them.
func TestLarge(t *testing.T) {
	x := newFixture(t)
	large := func(data, fields int, tracked bool) error {
		m := configMap("m", strings.Repeat("x", data))
		m.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: strings.Repeat("x", fields)}}
		return x.Encode(&transaction.Change{ID: x.id("m"), Obj: m, Tracked: tracked})
	}
	const half = transaction.MaxObjectBytes / 2
	for _, tc := range []struct {
		data, fields int
		tracked, ok  bool
	}{{half, half - 1000, true, true}, {half, half, true, false}, {half, half, false, true}, {2 * half, 1, false, false}} {
		if err := large(tc.data, tc.fields, tc.tracked); (err == nil) != tc.ok || err != nil && !apierrors.IsRequestEntityTooLargeError(err) {
			t.Errorf("%+v: %v", tc, err)
		}
	}
}

// A store that fails is answered as a Status, once.
func TestStoreFails(t *testing.T) {
	x := newFixture(t)
	x.store.intercept(func([]store.Op) error { return store.ErrUnavailable })
	_, err := x.Do(t.Context(), x.create("m", nil))
	if !apierrors.IsInternalError(err) || x.store.count() != 1 {
		t.Errorf("%v", err)
	}
}
