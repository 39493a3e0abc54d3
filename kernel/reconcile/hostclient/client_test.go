package hostclient_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
	lightcoordination "github.com/pintle-io/pintle/sdk/api/coordination/v1"
	lightcore "github.com/pintle-io/pintle/sdk/api/core/v1"
	lightmeta "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

var robot = &user.DefaultInfo{Name: "system:serviceaccount:kube-system:robot"}

// bench is a plugin's client on a registry in memory.
type bench struct {
	*registrytest.Registry
	config *hostclient.Config
	c      client.Client
	calls  int // of the host
}

func newBench(t *testing.T) *bench {
	t.Helper()
	table, err := kinds.Table(kinds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{Registry: registrytest.Start(t, registrytest.Options{Table: table})}
	owned := reconcile.NewOwned(b.Catalog, informer.Config{Registry: b.Registry, Clock: realClock})
	registrytest.Run(t, "owned", owned.Run)
	b.config = &hostclient.Config{Plugin: "robot", Registry: b.As(robot), Catalog: b.Catalog, Codec: b.Codec, Owned: owned, Observed: &hostclient.Observed{}}
	b.c = b.client(t)
	return b
}

// client is the client of another instance of the plugin.
func (b *bench) client(t *testing.T) client.Client {
	k := hostclient.New(b.config)
	return remote.NewClient(func(op wire.HostOp, req []byte) ([]byte, error) {
		b.calls++
		return k.Call(t.Context(), op, req)
	})
}

func config(name, value string) *lightcore.ConfigMap {
	m := &lightcore.ConfigMap{Data: map[string]string{"v": value}}
	m.Namespace, m.Name = "default", name
	return m
}

func (b *bench) stored(t *testing.T, name string) *corev1.ConfigMap {
	t.Helper()
	o, err := b.Get(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: "default", Name: name}, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return o.Obj.(*corev1.ConfigMap)
}

func TestOperations(t *testing.T) {
	b := newBench(t)
	m := config("m", "one")
	if err := b.c.Create(m); err != nil {
		t.Fatal(err)
	}
	if m.UID == "" || m.ResourceVersion == "" {
		t.Errorf("created object = %+v", m.ObjectMeta)
	}
	got := &lightcore.ConfigMap{}
	if err := b.c.Get(got, "default", "m"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(m, got); diff != "" {
		t.Errorf("read after the write (-want +got):\n%s", diff)
	}
	got.Data["v"] = "two"
	if err := b.c.Update(got); err != nil || got.ResourceVersion == m.ResourceVersion {
		t.Errorf("update: %v, resourceVersion %s", err, got.ResourceVersion)
	}
	if err := b.c.Update(m); !client.IsConflict(err) {
		t.Errorf("update of an old state: %v, want a conflict", err)
	}
	if err := b.c.Patch(m, client.Patch{Data: map[string]any{"data": map[string]any{"w": "three"}}}); err != nil || m.Data["v"] != "two" || m.Data["w"] != "three" {
		t.Errorf("merge patch: %v, %v", err, m.Data)
	}
	if err := b.c.Patch(m, client.Patch{Type: client.JSONPatch, Data: []byte(`[{"op":"remove","path":"/data/w"}]`)}); err != nil || len(m.Data) != 1 {
		t.Errorf("JSON patch: %v, %v", err, m.Data)
	}
	applied := config("m", "four")
	if err := b.c.Apply(applied, true); err != nil || applied.Data["v"] != "four" {
		t.Errorf("apply: %v, %v", err, applied.Data)
	}
	for _, uid := range []string{"another", ""} { // that of an object that was never stored is not "any"
		if err := b.c.Delete(m, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(uid)}); !client.IsConflict(err) {
			t.Errorf("delete of uid %q: %v, want a conflict", uid, err)
		}
	}
	if err := b.c.Delete(m, client.DeleteOptions{Preconditions: client.NewUIDPreconditions(m.UID)}); err != nil {
		t.Errorf("delete: %v", err)
	}
	if err := b.c.Get(got, "default", "m"); !client.IsNotFound(err) {
		t.Errorf("read after the deletion: %v, want not found", err)
	}
}

func TestStatus(t *testing.T) {
	b := newBench(t)
	p := &lightcore.Pod{}
	p.Namespace, p.Name = "default", "p"
	p.Spec.Containers = []lightcore.Container{{Name: "c", Image: "i"}}
	if err := b.c.Create(p); err != nil {
		t.Fatal(err)
	}
	p.Status.Phase, p.Spec.Containers[0].Image = lightcore.PodRunning, "changed"
	if err := b.c.UpdateStatus(p); err != nil {
		t.Fatal(err)
	}
	if p.Status.Phase != lightcore.PodRunning || p.Spec.Containers[0].Image != "i" {
		t.Errorf("after a write of the status: phase %s, image %s", p.Status.Phase, p.Spec.Containers[0].Image)
	}
}

// Objects come without managedFields, and a write of such an object keeps
// them.
func TestManagedFieldsStayOutside(t *testing.T) {
	b := newBench(t)
	m := config("m", "one")
	if err := b.c.Create(m); err != nil {
		t.Fatal(err)
	}
	before := len(b.stored(t, "m").ManagedFields)
	given := &full{}
	if err := b.c.Get(given, "default", "m"); err != nil {
		t.Fatal(err)
	}
	m.Data["v"] = "two"
	if err := b.c.Update(m); err != nil {
		t.Fatal(err)
	}
	stored := b.stored(t, "m")
	if len(given.ManagedFields) != 0 || given.Data["v"] != "one" || before == 0 || len(stored.ManagedFields) != before || stored.ManagedFields[0].Manager != "robot" {
		t.Errorf("given %d, stored %v", len(given.ManagedFields), stored.ManagedFields)
	}
}

// full is a config map with all of its metadata.
type full struct{ corev1.ConfigMap }

func (*full) APIResource() string { return "v1/configmaps" }

func TestLists(t *testing.T) {
	b := newBench(t)
	owner := config("owner", "")
	if err := b.c.Create(owner); err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		m := config(fmt.Sprint("m", i), "")
		m.Labels = map[string]string{"odd": fmt.Sprint(i%2 == 1)}
		if i > 1 {
			m.OwnerReferences = []lightmeta.OwnerReference{lightmeta.NewControllerRef(owner, "v1", "ConfigMap")}
		}
		if err := b.c.Create(m); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		o    client.ListOptions
		want string
	}{
		{client.ListOptions{}, "m0 m1 m2 m3 owner"},
		{client.ListOptions{Namespace: "default"}, "m0 m1 m2 m3 owner"},
		{client.ListOptions{Namespace: "other"}, ""},
		{client.ListOptions{Labels: "odd=true"}, "m1 m3"},
		{client.ListOptions{Fields: "metadata.name=m2"}, "m2"},
		{client.ListOptions{Owner: client.OwnedBy(owner.UID)}, "m2 m3"},
		{client.ListOptions{Owner: client.OwnedBy(owner.UID), Labels: "odd=true"}, "m3"},
		{client.ListOptions{Owner: client.NoController(), Namespace: "default"}, "m0 m1 owner"},
		{client.ListOptions{Owner: client.NoController(), Labels: "odd"}, "m0 m1"},
		{client.ListOptions{Owner: client.OwnedBy("")}, ""}, // not everybody's
		{client.ListOptions{By: client.Index{Path: "metadata.labels.odd", Value: "true"}}, "m1 m3"},
		{client.ListOptions{By: client.Index{Path: "metadata.ownerReferences.name", Value: "owner"}, Labels: "odd=true"}, "m3"},
		{client.ListOptions{By: client.Index{Path: "metadata.ownerReferences.name", Value: "owner"}, Limit: 1}, "m2"},
		{client.ListOptions{By: client.Index{Path: "metadata.name", Value: "m1"}, Namespace: "other"}, ""},
		{client.ListOptions{By: client.Index{Path: "metadata.name"}}, ""},
	} {
		for range 2 { // in full, then as a difference
			var list []*lightcore.ConfigMap
			if err := b.c.List(&list, tc.o); err != nil {
				t.Fatalf("%+v: %v", tc.o, err)
			}
			var names []string
			for _, m := range list {
				names = append(names, m.Name)
			}
			if got := strings.Join(names, " "); got != tc.want {
				t.Errorf("%+v: %s, want %s", tc.o, got, tc.want)
			}
		}
	}
	for _, o := range []client.ListOptions{{Labels: "a=b=c"}, {Owner: client.OwnedBy("u"), Labels: "a=b=c"}, {Owner: client.OwnedBy("u"), Fields: "metadata.name=x"},
		{By: client.Index{Path: "metadata.name", Value: "x"}, Fields: "metadata.name=x"}, {By: client.Index{Path: "metadata.name", Value: "x"}, Owner: client.OwnedBy("u")},
		{By: client.Index{Path: "metadata.name", Value: "x"}, Fresh: true}, {By: client.Index{Path: "a..b", Value: "x"}}, {By: client.Index{Value: "x"}}, {Fields: "nonsense=x"}} {
		if err := b.c.List(&[]*lightcore.ConfigMap{}, o); !errors.Is(err, wire.ErrBadRequest) {
			t.Errorf("%+v: %v, want a bad request", o, err)
		}
	}
}

// What one instance writes the other reads at once, by whatever way.
// anything is an object of any kind as a list of all resources shows it.
type anything struct {
	Kind       string               `json:"kind"`
	Resource   string               `json:"resource"`
	Namespaced bool                 `json:"namespaced"`
	Metadata   lightmeta.ObjectMeta `json:"metadata"`
}

func (*anything) APIResource() string { return client.AllResources }

// TestListAll: a list of all resources is answered with the fields that its type
// declares, as any other.
func TestListAll(t *testing.T) {
	b := newBench(t)
	if err := b.c.Create(config("a", "1")); err != nil {
		t.Fatal(err)
	}
	var list []*anything
	if err := b.c.List(&list, client.ListOptions{Namespace: "default"}); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Kind != "ConfigMap" || list[0].Resource != "v1/configmaps" || !list[0].Namespaced || list[0].Metadata.Name != "a" || list[0].Metadata.UID == "" {
		t.Errorf("listed %+v", list)
	}
}

func TestInstancesReadEachOthersWrites(t *testing.T) {
	b := newBench(t)
	other := b.client(t)
	owner := config("owner", "")
	if err := b.c.Create(owner); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		m := config(fmt.Sprint("m", i), "")
		m.OwnerReferences = []lightmeta.OwnerReference{lightmeta.NewControllerRef(owner, "v1", "ConfigMap")}
		if err := b.c.Create(m); err != nil {
			t.Fatal(err)
		}
		if err := other.Get(config("", ""), "default", m.Name); err != nil {
			t.Fatalf("get: %v", err)
		}
		var byOwner, all []*lightcore.ConfigMap
		if err := errors.Join(other.List(&byOwner, client.ListOptions{Owner: client.OwnedBy(owner.UID)}), other.List(&all, client.ListOptions{})); err != nil {
			t.Fatal(err)
		}
		if len(byOwner) != i+1 || len(all) != i+2 {
			t.Fatalf("after %d writes: %d by owner, %d in all", i+1, len(byOwner), len(all)-1)
		}
	}
}

// late is an index of dependents that shows one object, and a registry that notes how
// new what it is asked for must be.
type late struct {
	shows *watch.Object
	asked string
}

func (l *late) List(context.Context, schema.GroupResource, string, wire.Owner, int64) ([]*watch.Object, error) {
	return []*watch.Object{l.shows}, nil
}

// newerThan is the registry of it; both have a List.
type newerThan struct {
	registry.Registry
	l *late
}

func (n newerThan) Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error) {
	n.l.asked = o.ResourceVersion
	return n.Registry.Get(ctx, t, o)
}

// TestReadsAreNoOlderThanDependents: what is read after a list of dependents, whoever
// wrote these, is no older. An owner that lets its dependents go is marked before they
// are, so who sees them without an owner sees that.
func TestReadsAreNoOlderThanDependents(t *testing.T) {
	b := newBench(t)
	res, err := b.As(&user.DefaultInfo{Name: "somebody"}).Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: "default"},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "orphan"}}, registry.WriteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	l := &late{}
	if l.shows, err = b.config.Registry.Get(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: "default", Name: "orphan"}, metav1.GetOptions{}); err != nil {
		t.Fatal(err)
	}
	b.config.Owned, b.config.Registry = l, newerThan{b.config.Registry, l}
	c := b.client(t)
	var list []*lightcore.ConfigMap
	if err := errors.Join(c.List(&list, client.ListOptions{Owner: client.NoController()}), c.Get(config("", ""), "default", "orphan")); err != nil {
		t.Fatal(err)
	}
	if want := fmt.Sprint(res.Revision); l.asked != want {
		t.Errorf("the get asks for revision %q, the list showed %s", l.asked, want)
	}
}

// asks notes the revision that lists ask for.
type asks struct {
	registry.Registry
	revision string
}

func (a *asks) List(ctx context.Context, t registry.Target, o metav1.ListOptions) (*registry.List, error) {
	a.revision = o.ResourceVersion
	return a.Registry.List(ctx, t, o)
}

// TestFreshLists: a list asks for what the plugin knows of, a fresh one for what there is.
func TestFreshLists(t *testing.T) {
	b := newBench(t)
	a := &asks{Registry: b.config.Registry}
	b.config.Registry = a
	c := b.client(t)
	if err := c.Create(config("m", "")); err != nil {
		t.Fatal(err)
	}
	var list []*lightcore.ConfigMap
	if err := c.List(&list, client.ListOptions{}); err != nil || len(list) != 1 || a.revision == "" {
		t.Errorf("%d listed, at %q, %v", len(list), a.revision, err)
	}
	if err := c.List(&list, client.ListOptions{Fields: "metadata.name=m", Fresh: true}); err != nil || len(list) != 1 || a.revision != "" {
		t.Errorf("fresh: %d listed, at %q, %v", len(list), a.revision, err)
	}
	if err := c.List(&list, client.ListOptions{Owner: client.NoController(), Fresh: true}); err == nil || !strings.Contains(err.Error(), "cannot be fresh") {
		t.Errorf("by owner: %v", err)
	}
}

func TestBatch(t *testing.T) {
	b := newBench(t)
	there, gone, patched := config("there", "one"), config("gone", ""), config("patched", "one")
	for _, m := range []*lightcore.ConfigMap{there, gone, patched} {
		if err := b.c.Create(m); err != nil {
			t.Fatal(err)
		}
	}
	stale := config("there", "stale")
	stale.ResourceVersion = "1"
	brief := config("", "brief")
	brief.GenerateName = "brief-"
	bad := config("bad", "")
	bad.Data["no key!"] = ""
	changed := config("there", "two")
	changed.ResourceVersion = there.ResourceVersion
	created := config("new", "")
	before := b.calls
	errs, err := b.c.Batch([]client.Op{
		{Verb: client.VerbCreate, Object: created},
		{Verb: client.VerbCreate, Object: brief, Brief: true},
		{Verb: client.VerbCreate, Object: config("there", "")},
		{Verb: client.VerbCreate, Object: bad},
		{Verb: client.VerbUpdate, Object: stale},
		{Verb: client.VerbUpdate, Object: changed},
		{Verb: client.VerbDelete, Object: gone},
		{Verb: client.VerbDelete, Object: config("nobody", "")},
		{Verb: "burn", Object: config("x", "")},
		{Verb: client.VerbCreate, Object: &odd{}},
		{Verb: client.VerbPatch, Object: patched, Patch: client.Patch{Data: map[string]any{"data": map[string]any{"v": "two", "w": "new"}}}},
		{Verb: client.VerbPatch, Object: config("nobody", ""), Patch: client.Patch{Data: map[string]any{}}},
		{Verb: client.VerbPatch, Object: config("there", ""), Patch: client.Patch{Type: client.JSONPatch, Data: map[string]any{}}, Brief: true},
	}, false)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "", "already exists", "invalid", "conflict", "", "", "not found", "bad request", "not found", "", "not found", "bad request"}
	var got []string
	for _, err := range errs {
		s := ""
		if err != nil {
			s = wire.KindOf(err).String()
		}
		got = append(got, s)
	}
	if diff := cmp.Diff(want, got); diff != "" || b.calls != before+1 {
		t.Errorf("%d calls, errors (-want +got):\n%s", b.calls-before, diff)
	}
	if created.UID == "" || changed.Data["v"] != "two" || b.stored(t, "there").Data["v"] != "two" || b.stored(t, "gone") != nil || patched.Data["w"] != "new" || b.stored(t, "patched").Data["v"] != "two" {
		t.Errorf("created %q, changed to %q", created.UID, changed.Data["v"])
	}
	if !strings.HasPrefix(brief.Name, "brief-") || brief.UID == "" || brief.ResourceVersion == "" || brief.CreationTimestamp != "" || brief.Data["v"] != "brief" {
		t.Errorf("brief = %+v", brief)
	}
	// Atomic: one that fails takes the others with it.
	errs, err = b.c.Batch([]client.Op{{Verb: client.VerbCreate, Object: config("a", "")}, {Verb: client.VerbCreate, Object: config("there", "")}}, true)
	if err != nil || errs[0] == nil || !client.IsAlreadyExists(errs[1]) || b.stored(t, "a") != nil {
		t.Errorf("atomic batch: %v, %v", errs, err)
	}
}

// odd is of a resource that there is not.
type odd struct{}

func (*odd) APIResource() string                  { return "example.com/v1/odds" }
func (*odd) GetObjectMeta() *lightmeta.ObjectMeta { return &lightmeta.ObjectMeta{Name: "odd"} }
func (*odd) MarshalJSON() ([]byte, error)         { return json.Marshal(map[string]any{}) }

// TestMakingTakesCreate: who may patch, but not create, makes nothing by an apply.
func TestMakingTakesCreate(t *testing.T) {
	b := newBench(t)
	if err := b.c.Create(config("m", "one")); err != nil {
		t.Fatal(err)
	}
	b.config.Allow = func(verb string, t registry.Target) error {
		if verb != "create" {
			return nil
		}
		return apierrors.NewForbidden(schema.GroupResource{Resource: t.Resource.Resource}, t.Name, errors.New("not yours"))
	}
	if err := b.c.Apply(config("new", "one"), true); !client.IsForbidden(err) {
		t.Errorf("an apply that makes an object: %v, want forbidden", err)
	}
	if err := b.c.Apply(config("m", "two"), true); err != nil {
		t.Errorf("an apply to an object that is there: %v", err)
	}
	lease := &lightcoordination.Lease{ObjectMeta: lightmeta.ObjectMeta{Namespace: "default", Name: "l"}}
	if err := b.c.Update(lease); !client.IsForbidden(err) {
		t.Errorf("an update that makes an object: %v, want forbidden", err)
	}
	if err := b.c.Update(config("new", "one")); !client.IsNotFound(err) {
		t.Errorf("an update of what it cannot make: %v, want not found", err)
	}
	if errs, err := b.c.Batch([]client.Op{{Verb: client.VerbUpdate, Object: lease}}, false); err != nil || !client.IsForbidden(errs[0]) {
		t.Errorf("a batch: %v, %v, want forbidden", errs, err)
	}
}

func TestPermissions(t *testing.T) {
	b := newBench(t)
	if err := b.c.Create(config("m", "one")); err != nil {
		t.Fatal(err)
	}
	var asked []string
	b.config.Allow = func(verb string, t registry.Target) error {
		asked = append(asked, verb+" "+t.Resource.Resource+"/"+t.Subresource+" "+t.Namespace+"/"+t.Name)
		return apierrors.NewForbidden(schema.GroupResource{Resource: t.Resource.Resource}, t.Name, errors.New("not yours"))
	}
	m := config("m", "two")
	for i, f := range []func() error{
		func() error { return b.c.Get(config("", ""), "default", "m") },
		func() error { return b.c.List(&[]*lightcore.ConfigMap{}, client.ListOptions{Namespace: "default"}) },
		func() error {
			return b.c.List(&[]*lightcore.ConfigMap{}, client.ListOptions{Owner: client.OwnedBy("u")})
		},
		func() error { return b.c.Create(m) },
		func() error { return b.c.Update(m) },
		func() error { return b.c.UpdateStatus(m) },
		func() error { return b.c.Patch(m, client.Patch{Data: map[string]any{}}) },
		func() error { return b.c.Apply(m, false) },
		func() error { return b.c.Delete(m, client.DeleteOptions{}) },
		func() error {
			errs, err := b.c.Batch([]client.Op{{Verb: client.VerbUpdate, Object: m}, {Verb: client.VerbPatch, Object: m}, {Verb: client.VerbDelete, Object: m}}, false)
			if err != nil || !client.IsForbidden(errs[0]) || !client.IsForbidden(errs[1]) {
				return fmt.Errorf("%v, %w", errs, err)
			}
			return errs[2]
		},
	} {
		if err := f(); !client.IsForbidden(err) {
			t.Errorf("operation %d: %v, want forbidden", i, err)
		}
	}
	want := []string{"get configmaps/ default/m", "list configmaps/ default/", "list configmaps/ /", "create configmaps/ default/", "update configmaps/ default/m",
		"update configmaps/status default/m", "patch configmaps/ default/m", "patch configmaps/ default/m", "delete configmaps/ default/m", "update configmaps/ default/m", "patch configmaps/ default/m", "delete configmaps/ default/m"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("permissions asked for (-want +got):\n%s", diff)
	}
	b.config.Allow = nil
	if got := b.stored(t, "m").Data["v"]; got != "one" {
		t.Errorf("a write that was refused changed the object: %s", got)
	}
}

// An admission rule reads what its permissions let it, the newest there is, and
// does nothing else.
func TestAdmissionReads(t *testing.T) {
	b := newBench(t)
	if err := b.c.Create(config("m", "one")); err != nil {
		t.Fatal(err)
	}
	b.config.Latest = b.Core
	b.config.Allow = func(verb string, t registry.Target) error {
		if verb != "update" && t.Resource.Resource == "configmaps" {
			return nil
		}
		return wire.Errorf(wire.KindForbidden, "no permission")
	}
	c := b.client(t)
	var m lightcore.ConfigMap
	if err := c.Get(&m, "default", "m"); err != nil || m.Data["v"] != "one" {
		t.Errorf("get: %v, %v", m.Data, err)
	}
	if err := c.Get(&m, "default", "none"); !client.IsNotFound(err) {
		t.Errorf("get of nothing: %v", err)
	}
	if err := c.Get(&lightcore.Secret{}, "default", "m"); !client.IsForbidden(err) {
		t.Errorf("get without permission: %v", err)
	}
	var list []*lightcore.ConfigMap
	if err := c.List(&list, client.ListOptions{Namespace: "default"}); err != nil || len(list) != 1 || list[0].Data["v"] != "one" {
		t.Errorf("list: %v, %v", list, err)
	}
	if err := c.List(&list, client.ListOptions{Labels: "a=b"}); err != nil || len(list) != 0 {
		t.Errorf("list by labels: %v, %v", list, err)
	}
	if err := c.List(&[]*lightcore.Secret{}, client.ListOptions{}); !client.IsForbidden(err) {
		t.Errorf("list without permission: %v", err)
	}
	b.config.Latest = nil
	for _, name := range []string{"n", "o"} {
		if err := b.c.Create(config(name, "one")); err != nil {
			t.Fatal(err)
		}
	}
	b.config.Latest, b.config.MaxRead = b.Core, 2
	for limit, want := range map[int]int{1: 1, 2: 2, 3: 2} {
		more := -1
		if err := c.List(&list, client.ListOptions{Namespace: "default", Limit: limit, Remaining: &more}); err != nil || len(list) != want || list[0].Name != "m" || more != 3-want {
			t.Errorf("list of %d: %d objects and %d more, %v; want %d", limit, len(list), more, err, want)
		}
	}
	if err := c.List(&list, client.ListOptions{Namespace: "default"}); err == nil || !strings.Contains(err.Error(), "there are 3 configmaps, and an admission rule may read 2 at once: set a Limit") {
		t.Errorf("list of more than may be read: %v", err)
	}
	b.config.MaxRead = 0
	if err := c.List(&list, client.ListOptions{Namespace: "default"}); err != nil || len(list) != 3 {
		t.Errorf("list: %d objects, %v", len(list), err)
	}
	b.config.Allow = nil
	for what, err := range map[string]error{
		"list by fields":     c.List(&list, client.ListOptions{Fields: "metadata.name=m"}),
		"list of everything": c.List(&list, client.ListOptions{Resource: client.AllResources}),
		"list by owner":      c.List(&list, client.ListOptions{Owner: client.OwnedBy("u")}),
		"create":             c.Create(config("other", "x")),
		"delete":             c.Delete(config("m", "one"), client.DeleteOptions{}),
	} {
		if !client.IsForbidden(err) {
			t.Errorf("%s: %v, want forbidden", what, err)
		}
	}
}

func TestBadRequests(t *testing.T) {
	b := newBench(t)
	k := hostclient.New(b.config)
	for name, tc := range map[string]struct {
		op   wire.HostOp
		req  []byte
		kind wire.Kind
	}{
		"unknown operation":  {wire.HostOp(60), nil, wire.KindUnsupported},
		"cut off":            {wire.HostGet, []byte{200}, wire.KindProtocol},
		"malformed resource": {wire.HostGet, wire.GetRequest{Resource: "pods", Name: "x"}.Append(nil), wire.KindBadRequest},
		"unknown resource":   {wire.HostGet, wire.GetRequest{Resource: "a.b/v1/c", Name: "x"}.Append(nil), wire.KindNotFound},
		"unknown verb":       {wire.HostWrite, wire.WriteRequest{Verb: "burn", Resource: "v1/configmaps", Object: []byte(`{"metadata":{"name":"x"}}`)}.Append(nil), wire.KindBadRequest},
		"no JSON":            {wire.HostWrite, wire.WriteRequest{Verb: "create", Resource: "v1/configmaps", Object: []byte(`{`)}.Append(nil), wire.KindBadRequest},
		"another kind":       {wire.HostWrite, wire.WriteRequest{Verb: "create", Resource: "v1/configmaps", Object: []byte(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":"x","namespace":"default"}}`)}.Append(nil), wire.KindBadRequest},
		"a batch too long":   {wire.HostBatch, []byte{0, 255, 255, 3}, wire.KindProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := k.Call(t.Context(), tc.op, tc.req)
			if got := wire.KindOf(err); err == nil || got != tc.kind {
				t.Errorf("error = %v (%s), want %s", err, got, tc.kind)
			}
		})
	}
}

// What cannot be made because its namespace is going is told apart from what
// is forbidden, and still counts as forbidden, as in the API.
func TestNamespaceTerminating(t *testing.T) {
	b := newBench(t)
	b.config.Registry = going{b.Registry}
	err := b.c.Create(config("m", "one"))
	if !client.IsNamespaceTerminating(err) || !client.IsForbidden(err) {
		t.Errorf("create in a namespace that is going: %v", err)
	}
	b.config.Registry = denied{b.Registry}
	if err := b.c.Create(config("m", "one")); client.IsNamespaceTerminating(err) || !client.IsForbidden(err) {
		t.Errorf("create without permission: %v", err)
	}
}

// going answers as the admission chain does while a namespace is deleted.
type going struct{ registry.Registry }

func (going) Create(context.Context, registry.Target, runtime.Object, registry.WriteOptions) (*registry.Result, error) {
	err := apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "m", errors.New("namespace default is being terminated"))
	err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{Type: corev1.NamespaceTerminatingCause})
	return nil, fmt.Errorf("create: %w", err)
}

type denied struct{ registry.Registry }

func (denied) Create(context.Context, registry.Target, runtime.Object, registry.WriteOptions) (*registry.Result, error) {
	return nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "m", errors.New("no"))
}
