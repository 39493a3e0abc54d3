package kinds_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// plane is a registry over the real table.
type plane struct {
	registry.Registry // the administrator's
	table             *resource.Table
	codec             *resource.Codec
	cache             *watch.Cache
}

// unvalidated is the table without the kinds' validation, so that it takes
// objects that nobody would write; everything that changes objects is there.
func unvalidated(t testing.TB) *resource.Table {
	t.Helper()
	tab, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	accept := func(context.Context, runtime.Object, runtime.Object) field.ErrorList { return nil }
	for _, d := range tab.Definitions {
		d.Strategy.Validate, d.Strategy.ValidateUpdate = nil, accept
		for i := range d.Subresources {
			if d.Subresources[i].ValidateUpdate != nil {
				d.Subresources[i].ValidateUpdate = accept
			}
		}
	}
	return tab
}

func start(t testing.TB, tab *resource.Table, s store.Store) *plane {
	t.Helper()
	p := &plane{table: tab, codec: resource.NewCodec(resource.NewCatalog(tab))}
	p.cache = watch.New(watch.Config{Store: s, Catalog: resource.NewCatalog(tab), Decode: p.codec.Decode})
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- p.cache.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("cache: %v", err)
		}
	})
	select {
	case <-p.cache.Ready():
	case err := <-done:
		t.Fatalf("cache: %v", err)
	}
	core, err := registry.New(registry.Config{Catalog: resource.NewCatalog(tab), Codec: p.codec, Store: s, Cache: p.cache})
	if err != nil {
		t.Fatal(err)
	}
	p.Registry = core.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}})
	return p
}

// views are the encodings of one revision of an object, by who showed it and
// how.
type views map[string]string

func (v views) add(t testing.TB, p *plane, d *resource.Definition, who string, obj runtime.Object) {
	t.Helper()
	for _, version := range d.Versions {
		gv := schema.GroupVersion{Group: d.Group, Version: version}
		for _, mt := range []string{resource.JSON, resource.Protobuf} {
			b, err := p.codec.Encode(obj, gv, mt)
			if errors.Is(err, resource.ErrNoProtobuf) {
				continue
			}
			if err != nil {
				t.Fatalf("%s of %s: %v", who, d.GroupResource(), err)
			}
			v[version+" "+mt+"|"+who] = string(b)
		}
	}
}

// same reports where views of one revision differ.
func (v views) same(t testing.TB) {
	t.Helper()
	first := map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(v)) {
		how, _, _ := strings.Cut(key, "|")
		if base, ok := first[how]; !ok {
			first[how] = key
		} else if v[base] != v[key] {
			t.Errorf("%s differs from %s:\n%s", key, base, cmp.Diff(v[base], v[key]))
			return
		}
	}
}

// look adds what get, list and watch show of an object.
func (v views) look(t testing.TB, p *plane, d *resource.Definition, when string, written runtime.Object) {
	t.Helper()
	m, err := meta.Accessor(written)
	if err != nil {
		t.Fatal(err)
	}
	at := registry.Target{Resource: d.GroupResource().WithVersion(d.StorageVersion), Namespace: m.GetNamespace(), Name: m.GetName()}
	got, err := p.Get(t.Context(), at, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	v.add(t, p, d, when+"get", got.Obj)
	if diff := cmp.Diff(written, got.Obj); diff != "" {
		t.Errorf("%sin memory (-answered +got):\n%s", when, diff)
	}
	canonical, _, err := p.codec.EncodeCanonical(d, got.Obj.DeepCopyObject(), false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got.Obj, canonical); diff != "" {
		t.Errorf("%snot in canonical form (-got +want):\n%s", when, diff)
	}
	at.Name = ""
	list, err := p.List(t.Context(), at, metav1.ListOptions{FieldSelector: "metadata.name=" + m.GetName()})
	if err != nil || len(list.Items) != 1 {
		t.Fatalf("list: %v, %v", list, err)
	}
	v.add(t, p, d, when+"list", list.Items[0].Obj)
	rev := revisionBefore(t, m)
	w, err := p.Watch(t.Context(), at, metav1.ListOptions{ResourceVersion: rev, FieldSelector: "metadata.name=" + m.GetName()})
	if when != "" { // history begins with the cache
		w, err = p.Watch(t.Context(), at, metav1.ListOptions{FieldSelector: "metadata.name=" + m.GetName()})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	select {
	case e := <-w.Events():
		v.add(t, p, d, when+"watch", e.Object.Obj)
	case <-time.After(30 * time.Second):
		t.Fatal("no watch event")
	}
}

func revisionBefore(t testing.TB, m metav1.Object) string {
	t.Helper()
	var n int64
	if _, err := fmt.Sscan(m.GetResourceVersion(), &n); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(n - 1)
}

// written is one write and everything that shows it.
type written struct {
	d     *resource.Definition
	obj   runtime.Object
	views views
}

func (p *plane) wrote(t testing.TB, d *resource.Definition, res *registry.Result) written {
	t.Helper()
	w := written{d, res.Object.Obj, views{}}
	w.views.add(t, p, d, "response", res.Object.Obj)
	w.views.look(t, p, d, "", res.Object.Obj)
	return w
}

// restarted compares what a new cache on the same store shows.
func restarted(t *testing.T, tab *resource.Table, s store.Store, all map[string]written) {
	p := start(t, tab, s)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			w := all[name]
			w.views.look(t, p, w.d, "after a restart: ", w.obj)
			w.views.same(t)
		})
	}
}

// An object is one value: what a write answers, what get, list and watch show,
// and what a server that starts again reads from the store. Every kind is
// written full of odd values, and full of what is there and empty.
func TestWhatIsAnsweredIsWhatIsStored(t *testing.T) {
	for how, fill := range map[string]func(testing.TB, *plane, *resource.Definition) runtime.Object{
		"filled": func() func(testing.TB, *plane, *resource.Definition) runtime.Object {
			f := filler(7)
			return func(t testing.TB, p *plane, d *resource.Definition) runtime.Object {
				if d.JSONStored {
					return hollow(t, d) // upstream has nothing that fills our kinds
				}
				obj := random(t, p.codec, d, f)
				obj.(metav1.Object).SetLabels(map[string]string{"a": "b"}) // else those of a template may become its own
				return obj
			}
		}(),
		"sparse": func(t testing.TB, _ *plane, d *resource.Definition) runtime.Object { return hollow(t, d) },
	} {
		for _, verb := range []string{"create", "update", "status", "parts"} {
			t.Run(how+"/"+verb, func(t *testing.T) { writeEveryKind(t, verb, fill) })
		}
	}
}

// writeEveryKind writes, restarts and compares. Services are left out: they
// are made for something, and have a test of their own.
func writeEveryKind(t *testing.T, verb string, fill func(testing.TB, *plane, *resource.Definition) runtime.Object) {
	tab, s := unvalidated(t), memory.New()
	p := start(t, tab, s)
	put(t, p, kindtest.Definition(t, "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	all := map[string]written{}
	for _, d := range tab.Definitions {
		if d.Virtual || !slices.Contains(d.Verbs, "create") || d.Resource == "services" || d.StoredAs != nil {
			continue
		}
		name := d.GroupResource().String()
		res := put(t, p, d, fill(t, p, d))
		switch verb {
		case "create":
			all[name] = p.wrote(t, d, res)
		case "update":
			all[name] = p.wrote(t, d, change(t, p, d, "", res, fill(t, p, d)))
		default:
			for i := range d.Subresources {
				sub := &d.Subresources[i]
				if (verb == "status") == (sub.Style == resource.StyleStatus) && sub.PrepareForUpdate != nil {
					res = change(t, p, d, sub.Name, res, fill(t, p, d))
					all[name] = p.wrote(t, d, res)
				}
			}
		}
	}
	if len(all) == 0 {
		t.Fatal("nothing was written")
	}
	restarted(t, tab, s, all)
}

func put(t testing.TB, p *plane, d *resource.Definition, obj runtime.Object) *registry.Result {
	t.Helper()
	m, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	m.SetResourceVersion("")
	plainMeta(m)
	at := registry.Target{Resource: d.GroupResource().WithVersion(d.StorageVersion), Namespace: m.GetNamespace()}
	res, err := p.Create(t.Context(), at, obj, registry.WriteOptions{FieldManager: "m"})
	if err != nil {
		t.Fatalf("%s: %v", d.GroupResource(), err)
	}
	return res
}

// plainMeta leaves metadata that is valid.
func plainMeta(m metav1.Object) {
	m.SetFinalizers(nil)
	m.SetAnnotations(nil)
	m.SetOwnerReferences(nil)
	m.SetGenerateName("")
	m.SetDeletionGracePeriodSeconds(nil)
	m.SetDeletionTimestamp(nil)
}

// change puts obj over what was written.
func change(t testing.TB, p *plane, d *resource.Definition, sub string, before *registry.Result, obj runtime.Object) *registry.Result {
	t.Helper()
	plainMeta(obj.(metav1.Object))
	obj.(metav1.Object).SetAnnotations(map[string]string{"changed": "by " + sub})
	return changeAs(t, p, d, sub, "other", before, obj)
}

func changeAs(t testing.TB, p *plane, d *resource.Definition, sub, manager string, before *registry.Result, obj runtime.Object) *registry.Result {
	t.Helper()
	m, old := obj.(metav1.Object), before.Object.Obj.(metav1.Object)
	m.SetName(old.GetName())
	m.SetUID(old.GetUID())
	m.SetResourceVersion(old.GetResourceVersion())
	at := registry.Target{Resource: d.GroupResource().WithVersion(d.StorageVersion), Namespace: old.GetNamespace(), Name: old.GetName(), Subresource: sub}
	res, err := p.Update(t.Context(), at, obj, registry.WriteOptions{FieldManager: manager})
	if err != nil {
		t.Fatalf("%s/%s: %v", d.GroupResource(), sub, err)
	}
	return res
}

// hollow is a hub object in which everything is there and empty: structs of
// structs down to a depth, lists and maps without an element.
func hollow(t testing.TB, d *resource.Definition) runtime.Object {
	t.Helper()
	obj, err := kindtest.Table(t).Scheme.New(d.Hub())
	if err != nil {
		t.Fatal(err)
	}
	empty(reflect.ValueOf(obj).Elem(), 8)
	m, err := meta.Accessor(obj)
	if err != nil {
		t.Fatal(err)
	}
	name, namespace := "x", ""
	if d.Namespaced {
		namespace = "ns"
	}
	reflect.ValueOf(obj).Elem().FieldByName("ObjectMeta").SetZero()
	m.SetName(name)
	m.SetNamespace(namespace)
	m.SetLabels(map[string]string{})
	return obj
}

func empty(v reflect.Value, depth int) {
	if !v.CanSet() || depth == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		switch v.Interface().(type) {
		case metav1.Time, metav1.MicroTime, runtime.RawExtension:
			return
		}
		for i := range v.NumField() {
			empty(v.Field(i), depth-1)
		}
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.Struct {
			v.Set(reflect.New(v.Type().Elem()))
			empty(v.Elem(), depth-1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	}
}

// Services are completed by code of their own, when they are written and when
// they are read.
func TestServicesAreAnsweredAsTheyAreStored(t *testing.T) {
	d := kindtest.Definition(t, "services")
	s := memory.New()
	p := start(t, kindtest.Table(t), s)
	put(t, p, kindtest.Definition(t, "namespaces"), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "ns"}})
	port := []corev1.ServicePort{{Port: 80}}
	specs := map[string]corev1.ServiceSpec{
		"cluster":          {Ports: port, ExternalIPs: []string{}, Selector: map[string]string{}},
		"external":         {Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", InternalTrafficPolicy: ptr.To(corev1.ServiceInternalTrafficPolicyCluster)},
		"external-ports":   {Type: corev1.ServiceTypeExternalName, ExternalName: "example.com", Ports: port},
		"headless":         {ClusterIP: "None", Selector: map[string]string{"a": "b"}},
		"headless-without": {ClusterIP: "None", Ports: []corev1.ServicePort{}},
		"node-port":        {Type: corev1.ServiceTypeNodePort, Ports: port},
		"balancer":         {Type: corev1.ServiceTypeLoadBalancer, Ports: port, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, LoadBalancerSourceRanges: []string{}},
	}
	all := map[string]written{}
	for name, spec := range specs {
		res := put(t, p, d, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Spec: spec})
		all[name] = p.wrote(t, d, res)
		for to, spec := range specs {
			if strings.HasPrefix(to, "headless") || strings.HasPrefix(name, "headless") {
				continue // their address cannot be changed
			}
			from := put(t, p, d, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name + "-" + to, Namespace: "ns"}, Spec: specs[name]})
			next := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns"}, Spec: *spec.DeepCopy()}
			all[name+" becomes "+to] = p.wrote(t, d, change(t, p, d, "", from, next))
		}
	}
	restarted(t, kindtest.Table(t), s, all)
}
