package hostclient

import (
	"context"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Resource is one of those that "*" stands for: what discovery tells of it, as
// far as a plugin needs that to treat objects of any kind alike.
type Resource struct {
	*resource.Definition
	schema.GroupVersionResource // in the preferred version
}

// Resources are what "*" stands for: what can be listed, watched and deleted, of
// kinds with two names the first. where leaves out others: "namespaced" and
// "collected" (takes part in garbage collection).
func Resources(t *resource.Table, where ...string) []Resource {
	var out []Resource
	for _, d := range t.Definitions {
		switch {
		case d.Virtual, d.StoredAs != nil, len(d.Versions) == 0, !slices.Contains(d.Verbs, "delete"),
			!slices.Contains(d.Verbs, "list"), !slices.Contains(d.Verbs, "watch"),
			slices.Contains(where, Namespaced) && !d.Namespaced,
			slices.Contains(where, Collected) && d.Strategy.NotCollected:
			continue
		}
		out = append(out, Resource{d, d.GroupResource().WithVersion(d.Versions[0])})
	}
	return out
}

// What may be asked of the resources that "*" stands for.
const (
	Namespaced = "namespaced"
	Collected  = "collected"
)

// path is how a plugin names the resource.
func (r Resource) path() string {
	return r.GroupVersion().String() + "/" + r.GroupVersionResource.Resource
}

// metadataOnly is an object of any kind as "*" shows it.
type metadataOnly struct {
	metav1.TypeMeta `json:",inline"`
	Resource        string            `json:"resource"`
	Namespaced      bool              `json:"namespaced,omitempty"`
	Collected       bool              `json:"collected,omitempty"`
	Metadata        metav1.ObjectMeta `json:"metadata"`
}

// DeepCopyObject implements runtime.Object.
func (m *metadataOnly) DeepCopyObject() runtime.Object {
	out := *m
	m.Metadata.DeepCopyInto(&out.Metadata)
	return &out
}

// Metadata is an object's metadata, without managedFields, with what its
// resource is: what a plugin sees of an object of "*". It shares memory with
// obj.
func (r Resource) Metadata(obj runtime.Object) (runtime.Object, error) {
	acc, err := meta.Accessor(obj)
	if err != nil {
		return nil, err
	}
	out := &metadataOnly{
		TypeMeta: metav1.TypeMeta{Kind: r.Kind, APIVersion: r.GroupVersion().String()},
		Resource: r.path(), Namespaced: r.Namespaced, Collected: !r.Strategy.NotCollected,
	}
	if typed, ok := obj.(metav1.ObjectMetaAccessor); ok {
		if m, ok := typed.GetObjectMeta().(*metav1.ObjectMeta); ok {
			out.Metadata = *m
			out.Metadata.ManagedFields = nil
			return out, nil
		}
	}
	out.Metadata = meta.AsPartialObjectMetadata(acc).ObjectMeta
	out.Metadata.ManagedFields = nil
	return out, nil
}

// Everything is what a plugin must be allowed to list or watch to do so with
// "*": only a rule for all groups and all resources covers it.
var Everything = schema.GroupVersionResource{Group: "*", Version: "*", Resource: "*"}

// listAll answers a list of "*": the metadata of the objects of all resources;
// with a namespace, of those in namespaces.
func (k *Client) listAll(ctx context.Context, q wire.ListRequest) error {
	var where []string
	if q.Namespace != "" {
		where = append(where, Namespaced)
	}
	switch q.Fields {
	case "":
	case Namespaced + "=true", Collected + "=true":
		where = append(where, strings.TrimSuffix(q.Fields, "=true"))
	default:
		return wire.Errorf(wire.KindBadRequest, "field selector %q: a list of all resources selects by namespaced=true or collected=true", q.Fields)
	}
	only, err := k.only.of(q.Only)
	if err != nil {
		return err
	}
	each := q
	each.Fields = ""
	var items []*watch.Object
	of := map[*watch.Object]Resource{}
	if err := k.c.May("list", registry.Target{Resource: Everything}); err != nil {
		return err
	}
	for _, r := range Resources(k.c.Catalog.Snapshot(), where...) {
		t := registry.Target{Resource: r.GroupVersionResource, Namespace: q.Namespace}
		list, err := k.items(ctx, t, each)
		if err != nil {
			if k.c.Catalog.Lookup(r.Definition.GroupResource()) != r.Definition {
				continue // it changed or went meanwhile
			}
			return wire.Errorf(wireError(err).Kind, "list %s: %v", r.path(), err)
		}
		for _, o := range list {
			of[o] = r
		}
		items = append(items, list...)
	}
	slices.SortFunc(items, func(a, b *watch.Object) int { return strings.Compare(a.Key, b.Key) })
	k.buf, err = k.session.Answer(k.buf, q, items, func(o *watch.Object) ([]byte, error) {
		m, err := of[o].Metadata(o.Obj)
		if err != nil {
			return nil, err
		}
		if k.only.buf, err = only.Append(k.only.buf[:0], m); err != nil {
			return nil, err
		}
		return k.only.buf, nil
	})
	return err
}

// byKind finds the resource of a kind, written as "apps/v1, Kind=ReplicaSet";
// ok is false for what is not written so. The version may be any.
func byKind(c *resource.Catalog, res string) (gvr schema.GroupVersionResource, d *resource.Definition, ok bool) {
	apiVersion, kind, ok := strings.Cut(res, wire.KindMark)
	if !ok {
		return gvr, nil, false
	}
	gv, err := schema.ParseGroupVersion(apiVersion)
	if err != nil {
		return gvr, nil, true
	}
	if d = c.LookupKind(schema.GroupKind{Group: gv.Group, Kind: kind}); d == nil || len(d.Versions) == 0 || d.Virtual {
		return gvr, nil, true
	}
	return d.GroupResource().WithVersion(d.Versions[0]), d, true
}
