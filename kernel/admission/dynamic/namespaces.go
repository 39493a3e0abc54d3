package dynamic

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listersv1 "k8s.io/client-go/listers/core/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Getter reads what a server's cache may not have heard of yet.
type Getter interface {
	Get(ctx context.Context, t registry.Target, o metav1.GetOptions) (*watch.Object, error)
}

// Objects reads objects from the cache, and those that it lacks from the store: a
// rule may be asked about a namespace, or by a parameter, that another server has
// made this moment.
type Objects struct {
	Reader resource.Reader
	Getter Getter
}

// Get answers an object of the hub version, shared with the cache.
func (o *Objects) Get(ctx context.Context, gvr schema.GroupVersionResource, namespace, name string) (runtime.Object, error) {
	obj, err := o.Reader.Get(ctx, gvr.GroupResource(), namespace, name)
	if err == nil || !apierrors.IsNotFound(err) {
		return obj, err
	}
	found, err := o.Getter.Get(ctx, registry.Target{Resource: gvr, Namespace: namespace, Name: name}, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	return found.Obj, nil
}

// Namespaces are those of the cluster as upstream's matchers read them. They know
// the labels by which a selector chooses as of the last write of this server.
type Namespaces struct{ Objects *Objects }

var namespaces = corev1.SchemeGroupVersion.WithResource("namespaces")

func (n Namespaces) get(ctx context.Context, name string) (*corev1.Namespace, error) {
	obj, err := n.Objects.Get(ctx, namespaces, "", name)
	if err != nil {
		return nil, err
	}
	ns, ok := obj.(*corev1.Namespace)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("namespace %s is a %T", name, obj))
	}
	return ns, nil
}

// Lister is upstream's.
func (n Namespaces) Lister() listersv1.NamespaceLister { return lister{n} }

// Client is upstream's. It can get a namespace; nothing else is asked of it.
func (n Namespaces) Client() kubernetes.Interface { return client{namespaces: n} }

type lister struct{ Namespaces }

func (l lister) Get(name string) (*corev1.Namespace, error) { return l.get(context.Background(), name) }

func (l lister) List(s labels.Selector) (out []*corev1.Namespace, err error) {
	list, err := l.Objects.Reader.List(context.Background(), namespaces.GroupResource(), "")
	for _, obj := range list {
		if ns, ok := obj.(*corev1.Namespace); ok && s.Matches(labels.Set(ns.Labels)) {
			out = append(out, ns)
		}
	}
	return out, err
}

type client struct {
	kubernetes.Interface
	namespaces Namespaces
}

func (c client) CoreV1() typedv1.CoreV1Interface { return core{namespaces: c.namespaces} }

type core struct {
	typedv1.CoreV1Interface
	namespaces Namespaces
}

func (c core) Namespaces() typedv1.NamespaceInterface {
	return namespaceClient{namespaces: c.namespaces}
}

type namespaceClient struct {
	typedv1.NamespaceInterface
	namespaces Namespaces
}

func (c namespaceClient) Get(ctx context.Context, name string, _ metav1.GetOptions) (*corev1.Namespace, error) {
	return c.namespaces.get(ctx, name)
}
