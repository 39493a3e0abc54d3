package controllertest_test

import (
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
)

func (c *cluster) gizmo(t *testing.T, namespace, name string, owner metav1.Object) {
	t.Helper()
	var owners []metav1.OwnerReference
	if owner != nil {
		owners = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.GetName(), UID: owner.GetUID()}}
	}
	if _, err := c.Create(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace}, registrytest.Gizmo(namespace, name, owners...), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (c *cluster) gizmos(t *testing.T, namespace string) string {
	t.Helper()
	l, err := c.List(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace}, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, o := range l.Items {
		names = append(names, o.Name)
	}
	return strings.Join(names, " ")
}

// Controllers of all resources learn of a kind that comes while they run: its
// objects are collected with their owners, and own others, and go with their
// namespace. A kind that has gone disturbs nobody.
func TestControllersFollowKinds(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector", "namespace")
	p := c.catalog.Producer("shop")
	for round := range 2 {
		if err := p.Apply(registrytest.DefineGizmos()); err != nil {
			t.Fatal(err)
		}
		owner, err := c.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("configmaps"), Namespace: namespace},
			&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, registry.WriteOptions{})
		if err != nil {
			t.Fatal(err)
		}
		made := owner.Object.Obj.(*corev1.ConfigMap)
		c.gizmo(t, namespace, "owned", made)
		c.gizmo(t, namespace, "free", nil)
		c.mustDelete(t, made, metav1.DeletePropagationBackground)
		eventually(t, "what a deleted object owns is collected", func() string { return equal("gizmos", c.gizmos(t, namespace), "free") })
		c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}, Spec: corev1.NamespaceSpec{Finalizers: []corev1.FinalizerName{"kubernetes"}}})
		c.gizmo(t, "team", "a", nil)
		c.mustDelete(t, get[corev1.Namespace](t, c, "team"), metav1.DeletePropagationBackground)
		eventually(t, "a namespace goes with the objects of the kind", func() string {
			return all(equal("namespace", get[corev1.Namespace](t, c, "team") == nil, true), equal("gizmos", c.gizmos(t, "team"), ""))
		})
		if _, err := c.Delete(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace, Name: "free"}, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if err := p.Apply(nil, registrytest.Gizmos.GroupResource()); err != nil {
			t.Fatal(err)
		}
		if _, err := c.List(t.Context(), registry.Target{Resource: registrytest.Gizmos}, metav1.ListOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("round %d: list of what is gone: %v", round, err)
		}
	}
}

// TestChangingKindsCollectNothing: what an object of a custom kind owns stays when
// the definition of the kind changes, goes, and comes back: the object is there.
func TestChangingKindsCollectNothing(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	p := c.catalog.Producer("shop")
	apply := func(versions ...string) {
		t.Helper()
		if err := p.Apply(registrytest.DefineGizmos(func(d *resource.Definition) { d.Versions = versions })); err != nil {
			t.Fatal(err)
		}
	}
	apply("v1")
	c.gizmo(t, namespace, "owner", nil)
	o, err := c.Get(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace, Name: "owner"}, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ref := []metav1.OwnerReference{{APIVersion: "shop.example/v1", Kind: "Gizmo", Name: "owner", UID: o.Obj.(metav1.Object).GetUID()}}
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "owned", OwnerReferences: ref}})
	// One whose owner is not there shows when the collector has seen a change.
	seen := func(what, name string) {
		t.Helper()
		lost := []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "never", UID: "never"}}
		c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, OwnerReferences: lost}})
		eventually(t, what, func() string {
			return equal("collected", get[corev1.ConfigMap](t, c, name) == nil, true)
		})
		if get[corev1.ConfigMap](t, c, "owned") == nil {
			t.Fatalf("%s: the dependent of an owner that is there is gone", what)
		}
	}
	seen("at first", "a")
	apply("v2", "v1")
	seen("another version is preferred", "b")
	if err := p.Apply(nil, registrytest.Gizmos.GroupResource()); err != nil {
		t.Fatal(err)
	}
	seen("the kind is away", "c")
	apply("v1")
	seen("the kind is back", "d")
	if _, err := c.Delete(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace, Name: "owner"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what a deleted object owns is collected", func() string {
		return equal("gone", get[corev1.ConfigMap](t, c, "owned") == nil, true)
	})
}

// TestDependentsGoWithTheKindOfTheirOwner: a kind that goes has had its objects deleted;
// what these own is collected, though the collector looks at it when there is no
// such kind any more.
func TestDependentsGoWithTheKindOfTheirOwner(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	p := c.catalog.Producer("shop")
	const owners = 30
	for range 5 {
		if err := p.Apply(registrytest.DefineGizmos()); err != nil {
			t.Fatal(err)
		}
		for i := range owners {
			name := fmt.Sprint("o", i)
			c.gizmo(t, namespace, name, nil)
			o, err := c.Get(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace, Name: name}, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			ref := []metav1.OwnerReference{{APIVersion: "shop.example/v1", Kind: "Gizmo", Name: name, UID: o.Obj.(metav1.Object).GetUID()}}
			c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, OwnerReferences: ref}})
		}
		for i := range owners {
			if _, err := c.Delete(t.Context(), registry.Target{Resource: registrytest.Gizmos, Namespace: namespace, Name: fmt.Sprint("o", i)}, metav1.DeleteOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		if left := c.gizmos(t, namespace); left != "" {
			t.Fatalf("left: %s", left)
		}
		if err := p.Apply(nil, registrytest.Gizmos.GroupResource()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "dependents of a kind that went", func() string {
			return equal("left", len(list[corev1.ConfigMap](t, c, namespace)), 0)
		})
	}
}
