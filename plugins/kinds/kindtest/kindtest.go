// Package kindtest runs the hooks of built-in kinds for tests, as the kernel would.
package kindtest

import (
	"context"
	"net/netip"
	"sync"
	"testing"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/klog/v2"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// Prefixes parses; it panics at what is no prefix.
func Prefixes(ss ...string) (out []netip.Prefix) {
	for _, s := range ss {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

// Ports is a range of node ports.
func Ports(base, size int) utilnet.PortRange { return utilnet.PortRange{Base: base, Size: size} }

// Cache is a resource.Reader over a map. It has no history, no watch and no
// concurrency.
type Cache map[schema.GroupResource]map[string]runtime.Object

// Put adds or replaces an object, with a resourceVersion.
func (c Cache) Put(gr schema.GroupResource, obj runtime.Object) {
	m, err := meta.Accessor(obj)
	if err != nil {
		panic(err)
	}
	if c[gr] == nil {
		c[gr] = map[string]runtime.Object{}
	}
	if m.GetResourceVersion() == "" {
		m.SetResourceVersion("1")
	}
	c[gr][m.GetNamespace()+"/"+m.GetName()] = obj
}

// Get implements resource.Reader.
func (c Cache) Get(_ context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	if obj, ok := c[gr][namespace+"/"+name]; ok {
		return obj, nil
	}
	return nil, apierrors.NewNotFound(gr, name)
}

// List implements resource.Reader.
func (c Cache) List(_ context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	var out []runtime.Object
	for _, obj := range c[gr] {
		if m, err := meta.Accessor(obj); err == nil && (namespace == "" || m.GetNamespace() == namespace) {
			out = append(out, obj)
		}
	}
	return out, nil
}

// Apply does what the store would, preconditions included.
func (c Cache) Apply(t testing.TB, companions []resource.Companion) {
	t.Helper()
	for _, x := range companions {
		_, exists := c[x.Resource][x.Namespace+"/"+x.Name]
		switch {
		case (x.Object == nil || x.Keep) && exists != (x.Old != nil):
			t.Fatalf("companion %s %s: exists %v, expected as %v", x.Resource, x.Name, exists, x.Old)
		case x.Keep:
		case x.Object == nil:
			delete(c[x.Resource], x.Namespace+"/"+x.Name)
		case exists != x.Update:
			t.Fatalf("companion %s %s: exists %v, update %v", x.Resource, x.Name, exists, x.Update)
		default:
			c.Put(x.Resource, x.Object)
		}
	}
}

// Create runs a kind's hooks as the kernel does.
func Create(t testing.TB, d *resource.Definition, obj runtime.Object) field.ErrorList {
	t.Helper()
	Table(t).Scheme.Default(obj)
	d.Strategy.PrepareForCreate(t.Context(), obj)
	errs := d.Strategy.Validate(t.Context(), obj)
	if len(errs) == 0 && d.Strategy.Canonicalize != nil {
		d.Strategy.Canonicalize(obj)
	}
	return errs
}

// Update runs the hooks of an update, which must leave old as it is.
func Update(t testing.TB, d *resource.Definition, obj, old runtime.Object) field.ErrorList {
	t.Helper()
	before := old.DeepCopyObject()
	Table(t).Scheme.Default(obj)
	d.Strategy.PrepareForUpdate(t.Context(), obj, old)
	errs := d.Strategy.ValidateUpdate(t.Context(), obj, old)
	Unchanged(t, before, old)
	return errs
}

// UpdateSub is Update through a subresource.
func UpdateSub(t testing.TB, d *resource.Definition, name string, obj, old runtime.Object) field.ErrorList {
	t.Helper()
	s := d.Subresource(name)
	if s == nil {
		t.Fatalf("%s has no subresource %s", d.Resource, name)
	}
	before := old.DeepCopyObject()
	s.PrepareForUpdate(t.Context(), obj, old)
	errs := s.ValidateUpdate(t.Context(), obj, old)
	Unchanged(t, before, old)
	return errs
}

// Unchanged: an old object is the cache's.
func Unchanged(t testing.TB, before, old runtime.Object) {
	t.Helper()
	if diff := cmp.Diff(before, old); diff != "" {
		t.Errorf("a hook changed the old object (-before +after):\n%s", diff)
	}
}

var newTable = sync.OnceValues(func() (*resource.Table, error) {
	klog.SetLogger(logr.Discard()) // upstream's code speaks of odd input
	return kinds.Table(kinds.Options{})
})

// Table is the table of all built-in kinds, made once: tests only read it.
func Table(t testing.TB) *resource.Table {
	t.Helper()
	tab, err := newTable()
	if err != nil {
		t.Fatal(err)
	}
	return tab
}

// Definition of a resource named as "deployments.apps".
func Definition(t testing.TB, name string) *resource.Definition {
	t.Helper()
	d := Table(t).Lookup(schema.ParseGroupResource(name))
	if d == nil {
		t.Fatalf("no resource %s", name)
	}
	return d
}
