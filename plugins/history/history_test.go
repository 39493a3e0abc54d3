package history_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pintle-io/pintle/plugins/history"
	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func template(image string) *corev1.PodTemplateSpec {
	t := &corev1.PodTemplateSpec{}
	t.Labels = map[string]string{"app": "web"}
	t.Spec.Containers = []corev1.Container{{Name: "c", Image: image}}
	return t
}

func data(t testing.TB, image string) json.RawMessage {
	t.Helper()
	d, err := history.Data(template(image))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The bytes and the hash are what upstream's controller of StatefulSets writes for
// the same template.
func TestData(t *testing.T) {
	d := data(t, "one")
	want := `{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},"spec":{"containers":[{"image":"one","name":"c","resources":{}}]}}}}`
	if diff := cmp.Diff(want, string(d)); diff != "" {
		t.Errorf("data (-want +got):\n%s", diff)
	}
	if one, two := history.Hash(d, 0), history.Hash(d, 1); one == two || one != "6487c57d88" {
		t.Errorf("hashes %s and %s", one, two)
	}
	back, err := history.Template(&appsv1.ControllerRevision{Data: d})
	must(t, err)
	if diff := cmp.Diff(template("one"), back); diff != "" {
		t.Errorf("template (-want +got):\n%s", diff)
	}
	for _, bad := range []string{`{"spec":{}}`, `{"spec":{"template":1}}`, `x`} {
		if _, err := history.Template(&appsv1.ControllerRevision{Data: json.RawMessage(bad)}); err == nil {
			t.Errorf("%s is a template", bad)
		}
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{`{"a":1}`, `{"a":1}`, true},
		{`{"a":1,"b":2}`, `{ "b":2, "a":1 }`, true},
		{`{"a":{"creationTimestamp":null}}`, `{"a":{}}`, true},
		{`{"a":[{"b":null}]}`, `{"a":[{}]}`, true},
		{`{"a":1}`, `{"a":2}`, false},
		{`{"a":9007199254740993}`, `{"a":9007199254740992}`, false},
		{`{"a":[1,2]}`, `{"a":[2,1]}`, false},
		{`{`, `{"a":1}`, false},
	} {
		if got := history.Equal(json.RawMessage(c.a), json.RawMessage(c.b)); got != c.want {
			t.Errorf("%s and %s: equal %v", c.a, c.b, got)
		}
	}
}

// revision is one of a number and an image.
func revision(t testing.TB, n int64, image string) *appsv1.ControllerRevision {
	r := &appsv1.ControllerRevision{Revision: n, Data: data(t, image)}
	r.Namespace, r.Name, r.Labels = "default", fmt.Sprint("web-", n), map[string]string{"app": "web"}
	return r
}

func TestDecide(t *testing.T) {
	one, two, again := revision(t, 1, "one"), revision(t, 2, "two"), revision(t, 4, "one")
	for name, c := range map[string]struct {
		have   []*appsv1.ControllerRevision
		image  string
		found  *appsv1.ControllerRevision
		number int64
	}{
		"the first":             {nil, "one", nil, 1},
		"the newest":            {[]*appsv1.ControllerRevision{one, two}, "two", two, 2},
		"one that is new":       {[]*appsv1.ControllerRevision{one, two}, "three", nil, 3},
		"an old one":            {[]*appsv1.ControllerRevision{one, two}, "one", one, 3},
		"the newest of several": {[]*appsv1.ControllerRevision{one, again, revision(t, 5, "five")}, "one", again, 6},
	} {
		t.Run(name, func(t *testing.T) {
			found, number := history.Decide(c.have, data(t, c.image))
			if found != c.found || number != c.number {
				t.Errorf("found %v with number %d, want %v and %d", found, number, c.found, c.number)
			}
		})
	}
}

func TestExcess(t *testing.T) {
	all := []*appsv1.ControllerRevision{revision(t, 3, "c"), revision(t, 1, "a"), revision(t, 4, "d"), revision(t, 2, "b")}
	history.Sort(all)
	live := map[string]bool{"web-1": true, "web-4": true}
	for limit, want := range map[int]string{-1: "", 0: "web-2 web-3", 1: "web-2", 2: "", 10: ""} {
		var names []string
		for _, r := range history.Excess(all, live, limit) {
			names = append(names, r.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("beyond %d: %q, want %q", limit, got, want)
		}
	}
}

func newRevisions(t testing.TB, objects ...client.Object) (*history.Revisions, *sdktest.Store) {
	t.Helper()
	owner := &appsv1.StatefulSet{}
	owner.Namespace, owner.Name, owner.UID = "default", "web", "set"
	s, err := sdktest.NewStore(append(objects, owner)...)
	must(t, err)
	return &history.Revisions{Client: s.Client(), Owner: owner, Kind: "StatefulSet", Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}},
		MayAdopt: func() (bool, error) { return true, nil }}, s
}

// What matches and has no owner is adopted, unless the owner goes; others' is not
// listed.
func TestList(t *testing.T) {
	theirs, unlike := revision(t, 7, "x"), revision(t, 8, "x")
	theirs.OwnerReferences = []metav1.OwnerReference{metav1.NewControllerRef(&metav1.ObjectMeta{Name: "web", UID: "earlier"}, "apps/v1", "StatefulSet")}
	unlike.Labels = nil
	r, _ := newRevisions(t, theirs, unlike, revision(t, 2, "two"))
	r.MayAdopt = func() (bool, error) { return false, nil }
	if got, err := r.List(); err != nil || len(got) != 0 {
		t.Errorf("listed %v, %v", got, err)
	}
	r.MayAdopt = func() (bool, error) { return true, nil }
	for range 2 {
		got, err := r.List()
		must(t, err)
		if len(got) != 1 || got[0].Name != "web-2" || !metav1.IsControlledBy(got[0], r.Owner) {
			t.Errorf("listed %v", got)
		}
	}
}

// A hash that is taken by something else is passed over, and that is counted.
func TestCollisions(t *testing.T) {
	d := data(t, "one")
	other := revision(t, 1, "other")
	other.Name = history.Name("web", history.Hash(d, 0))
	r, s := newRevisions(t, other)
	collisions := int32(0)
	made, err := r.Create(d, 1, map[string]string{"app": "web"}, nil, &collisions)
	must(t, err)
	if collisions != 1 || made.Name != history.Name("web", history.Hash(d, 1)) || made.Labels[history.HashLabel] != history.Hash(d, 1) {
		t.Errorf("made %s with labels %v after %d collisions", made.Name, made.Labels, collisions)
	}
	// The same again is the one that is there.
	again, err := r.Create(d, 1, nil, nil, &collisions)
	must(t, err)
	if again.UID != made.UID || collisions != 1 || len(s.Keys()) != 3 {
		t.Errorf("made %s again, %d collisions, %v", again.Name, collisions, s.Keys())
	}
	raised, err := r.Raise(made, 5)
	must(t, err)
	if raised.Revision != 5 || made.Revision != 1 || raised.UID != made.UID {
		t.Errorf("raised %v", raised)
	}
	must(t, r.Delete([]*appsv1.ControllerRevision{raised}))
	must(t, r.Delete([]*appsv1.ControllerRevision{raised}))
	if len(s.Keys()) != 2 {
		t.Errorf("left are %v", s.Keys())
	}
}

func TestName(t *testing.T) {
	if got := history.Name(strings.Repeat("x", 300), "hash"); len(got) != 228 {
		t.Errorf("name has %d characters", len(got))
	}
}
