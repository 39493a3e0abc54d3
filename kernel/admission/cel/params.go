package cel

import (
	"context"
	"fmt"
	"slices"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
)

// params finds the parameters of policies. They are read from the watch cache, which
// has every object anyhow: no policy has an informer of its own for them, and none
// is asked with a parameter that is older than the last write of this server.
type params struct {
	kinds   *dynamic.Kinds
	objects *dynamic.Objects
}

// of answers the parameters of a kind as upstream's dispatcher reads them. The
// error is the policy's until the kind is there.
func (p *params) of(kind *admissionv1.ParamKind) (informers.GenericInformer, meta.RESTScope, error) {
	gv, err := schema.ParseGroupVersion(kind.APIVersion)
	if err != nil {
		return nil, nil, fmt.Errorf("failed to parse paramKind APIVersion: %w", err)
	}
	gvk := gv.WithKind(kind.Kind)
	d := p.kinds.Catalog.LookupKind(gvk.GroupKind())
	if d == nil || d.Virtual || !slices.Contains(d.Versions, gv.Version) {
		return nil, nil, fmt.Errorf("failed to find resource referenced by paramKind: '%v'", gvk)
	}
	scope := meta.RESTScopeRoot
	if d.Namespaced {
		scope = meta.RESTScopeNamespace
	}
	return paramsOf{params: p, resource: gv.WithResource(d.Resource)}, scope, nil
}

// resource resolves a kind of parameters; ok is false if it is not served.
func (p *params) resource(kind *admissionv1.ParamKind) (gv schema.GroupVersion, resource string, parsed, served bool) {
	gv, err := schema.ParseGroupVersion(kind.APIVersion)
	if err != nil {
		return gv, "", false, false
	}
	d := p.kinds.Catalog.LookupKind(gv.WithKind(kind.Kind).GroupKind())
	if d == nil || !slices.Contains(d.Versions, gv.Version) {
		return gv, "", true, false
	}
	return gv, d.Resource, true, true
}

// paramsOf is one kind's parameters. It is informer and lister in one: there is
// nothing to wait for.
type paramsOf struct {
	*params
	resource  schema.GroupVersionResource
	namespace string // "" lists all, and gets what is cluster scoped
}

// Informer implements informers.GenericInformer.
func (p paramsOf) Informer() cache.SharedIndexInformer { return synced{} }

// synced is an informer that has synced; nothing else is asked of it.
type synced struct{ cache.SharedIndexInformer }

func (synced) HasSynced() bool { return true }

// Lister implements informers.GenericInformer.
func (p paramsOf) Lister() cache.GenericLister { return p }

// ByNamespace implements cache.GenericLister.
func (p paramsOf) ByNamespace(namespace string) cache.GenericNamespaceLister {
	p.namespace = namespace
	return p
}

// Get answers a parameter in the version that the policy names.
func (p paramsOf) Get(name string) (runtime.Object, error) {
	obj, err := p.objects.Get(context.Background(), p.resource, p.namespace, name)
	if err != nil {
		return nil, err
	}
	return p.kinds.Codec.Versioned(obj, p.resource.GroupVersion())
}

// List answers the parameters that a selector chooses, by name.
func (p paramsOf) List(s labels.Selector) ([]runtime.Object, error) {
	list, err := p.objects.Reader.List(context.Background(), p.resource.GroupResource(), p.namespace)
	if err != nil {
		return nil, err
	}
	var out []runtime.Object
	for _, obj := range list {
		m, err := meta.Accessor(obj)
		if err != nil || !s.Matches(labels.Set(m.GetLabels())) {
			continue
		}
		if obj, err = p.kinds.Codec.Versioned(obj, p.resource.GroupVersion()); err != nil {
			return nil, err
		}
		out = append(out, obj)
	}
	slices.SortFunc(out, func(a, b runtime.Object) int { return compareKeys(a, b) })
	return out, nil
}

// compareKeys orders objects, so that of several refusals the same is told each time.
func compareKeys(a, b runtime.Object) int {
	x, _ := meta.Accessor(a)
	y, _ := meta.Accessor(b)
	switch {
	case x == nil || y == nil:
		return 0
	case x.GetNamespace()+"/"+x.GetName() < y.GetNamespace()+"/"+y.GetName():
		return -1
	default:
		return 1
	}
}

var (
	_ informers.GenericInformer = paramsOf{}
	_ cache.GenericLister       = paramsOf{}
)
