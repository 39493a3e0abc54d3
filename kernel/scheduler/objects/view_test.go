package objects_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/kernel/watch"
)

var maps = schema.GroupResource{Resource: "configmaps"}

func object(namespace, name string, rev int64, data string) *watch.Object {
	return &watch.Object{Key: "/registry/configmaps/" + namespace + "/" + name, Namespace: namespace, Name: name, Revision: rev,
		Obj: &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, ResourceVersion: fmt.Sprint(rev)}, Data: map[string]string{"v": data}}}
}

func put(v *objects.View, list ...*watch.Object) []objects.Ref {
	var events []watch.Event
	for _, o := range list {
		events = append(events, watch.Event{Type: watch.Added, Object: o})
	}
	return v.Apply(maps, events)
}

func ref(namespace, name string) objects.Ref {
	return objects.Ref{Resource: maps, Namespace: namespace, Name: name}
}

func assume(t *testing.T, v *objects.View, r objects.Ref, data string) *objects.Assumption {
	t.Helper()
	a, changed, err := v.Assume([]objects.Assumed{{Ref: r, Patch: []byte(`{"data":{"v":"` + data + `"}}`)}})
	if err != nil || !slices.Equal(changed, []objects.Ref{r}) {
		t.Fatalf("assume: %v, %v", changed, err)
	}
	return a
}

func shown(t *testing.T, v *objects.View, r objects.Ref) string {
	t.Helper()
	o, err := v.Get(r)
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		return ""
	}
	return o.Obj.(*corev1.ConfigMap).Data["v"]
}

// What is assumed lies over what is stored, whatever comes, until it is released; once
// it is settled, until the object is told anew.
func TestAssume(t *testing.T) {
	v := objects.New()
	v.Follow(maps)
	if v.Synced() {
		t.Error("synced before it was told anything")
	}
	stored := object("ns", "a", 1, "old")
	v.Replace(maps, []*watch.Object{stored})
	if !v.Synced() {
		t.Error("not synced")
	}
	a := ref("ns", "a")
	first := assume(t, v, a, "first")
	steps := []struct {
		what string
		do   func()
		want string
	}{
		{"assumed", func() {}, "first"},
		{"stored anew", func() { put(v, object("ns", "a", 2, "new")) }, "first"},
		{"released", func() { v.Release(first) }, "new"},
		{"released twice", func() { v.Release(first) }, "new"},
		{"settled before it is told", func() { v.Settle(assume(t, v, a, "second")) }, "second"},
		{"told again", func() { put(v, object("ns", "a", 2, "new")) }, "second"},
		{"told anew", func() { put(v, object("ns", "a", 3, "third")) }, "third"},
		{"settled when it was told", func() { v.Settle(assume(t, v, a, "third")) }, "third"},
		{"told after that", func() { put(v, object("ns", "a", 4, "fourth")) }, "fourth"},
	}
	for _, s := range steps {
		s.do()
		if got := shown(t, v, a); got != s.want {
			t.Errorf("%s: %q is shown, want %q", s.what, got, s.want)
		}
	}
	if stored.Obj.(*corev1.ConfigMap).Data["v"] != "old" {
		t.Error("a stored object was changed")
	}
	gone := assume(t, v, a, "x")
	v.Apply(maps, []watch.Event{{Type: watch.Deleted, Object: object("ns", "a", 5, "")}})
	if changed := v.Release(gone); changed != nil || shown(t, v, a) != "" {
		t.Errorf("released an object that is gone: %v", changed)
	}
	for _, bad := range []objects.Assumed{{Ref: a, Patch: []byte("{}")}, {Ref: ref("ns", "absent"), Patch: []byte("{}")}} {
		if _, _, err := v.Assume([]objects.Assumed{bad}); err == nil || !strings.Contains(err.Error(), "there is no such object") {
			t.Errorf("assumed %v: %v", bad.Ref, err)
		}
	}
	put(v, object("ns", "a", 6, "back"))
	if _, _, err := v.Assume([]objects.Assumed{{Ref: a, Patch: []byte(`{"data":1}`)}}); err == nil {
		t.Error("a patch that makes no object was taken")
	}
	if got := shown(t, v, a); got != "back" {
		t.Errorf("a refused assumption shows: %q", got)
	}
}

// An instance reads what is followed, and it is noted.
func TestReads(t *testing.T) {
	v := objects.New()
	v.Follow(maps)
	v.Replace(maps, []*watch.Object{object("y", "b", 1, ""), object("x", "a", 2, "")})
	r := objects.NewReads(v)
	target := registry.Target{Resource: maps.WithVersion("v1"), Namespace: "x", Name: "a"}
	if o, err := r.Latest(t.Context(), target); err != nil || o.Revision != 2 {
		t.Errorf("get: %v, %v", o, err)
	}
	target.Name = "absent"
	if _, err := r.Latest(t.Context(), target); !apierrors.IsNotFound(err) {
		t.Errorf("get what is not there: %v", err)
	}
	all, err := r.LatestAll(t.Context(), registry.Target{Resource: maps.WithVersion("v1")})
	if err != nil || len(all) != 2 || all[0].Name != "a" {
		t.Errorf("list: %v, %v", all, err)
	}
	if some, err := r.LatestAll(t.Context(), registry.Target{Resource: maps.WithVersion("v1"), Namespace: "y"}); err != nil || len(some) != 1 || some[0].Name != "b" {
		t.Errorf("list of a namespace: %v, %v", some, err)
	}
	secrets := registry.Target{Resource: schema.GroupVersionResource{Version: "v1", Resource: "secrets"}}
	if _, err := r.LatestAll(t.Context(), secrets); !apierrors.IsForbidden(err) || !strings.Contains(err.Error(), "secrets is not followed: name it among the Objects") {
		t.Errorf("list what is not followed: %v", err)
	}
	want := []objects.Ref{ref("x", "a"), ref("x", "absent"), ref("", ""), ref("y", ""), {Resource: schema.GroupResource{Resource: "secrets"}}}
	if got := r.Take(); !slices.Equal(got, want) {
		t.Errorf("noted %v, want %v", got, want)
	}
	if got := r.Take(); got != nil {
		t.Errorf("noted twice: %v", got)
	}
}

// TestChangedSince: whatever happens, what a ref shows is as before when nothing that it
// names is said to have changed; and what is listed is what there is.
func TestChangedSince(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		v := objects.New()
		v.Follow(maps)
		v.Replace(maps, nil)
		var refs []objects.Ref
		for _, ns := range []string{"", "x", "y"} {
			refs = append(refs, ref(ns, ""))
			for _, n := range []string{"a", "b"} {
				refs = append(refs, ref(ns, n))
			}
		}
		look := func(f objects.Ref) string {
			if f.Name != "" {
				return shown(t, v, f)
			}
			list, err := v.List(f)
			if err != nil || !slices.IsSortedFunc(list, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) }) {
				t.Fatalf("list %v: %v", list, err)
			}
			out := ""
			for _, o := range list {
				out += o.Namespace + "/" + o.Name + "=" + o.Obj.(*corev1.ConfigMap).Data["v"] + " "
			}
			return out
		}
		var held []*objects.Assumption
		for rev := range int64(60) {
			since := v.Now()
			before := map[objects.Ref]string{}
			for _, f := range refs {
				before[f] = look(f)
			}
			ns, n := []string{"x", "y"}[r.IntN(2)], []string{"a", "b"}[r.IntN(2)]
			switch r.IntN(6) {
			case 0:
				v.Apply(maps, []watch.Event{{Type: watch.Deleted, Object: object(ns, n, rev+1, "")}})
			case 1:
				if a, _, err := v.Assume([]objects.Assumed{{Ref: ref(ns, n), Patch: []byte(fmt.Sprintf(`{"data":{"v":"assumed-%d"}}`, rev))}}); err == nil {
					held = append(held, a)
				}
			case 2:
				if len(held) > 0 {
					v.Release(held[0])
					held = held[1:]
				}
			case 3:
				if len(held) > 0 {
					v.Settle(held[0])
					held = held[1:]
				}
			default:
				put(v, object(ns, n, rev+1, fmt.Sprint(rev)))
			}
			for _, f := range refs {
				if after := look(f); after != before[f] && !v.ChangedSince([]objects.Ref{f}, since) {
					t.Fatalf("seed %d, step %d: %v was %q and is %q, and is said to be unchanged", seed, rev, f, before[f], after)
				}
			}
		}
	}
}
