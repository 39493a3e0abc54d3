package kerneltest_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	nothing := func(client.Client, controller.Request) (controller.Result, error) { return controller.Result{}, nil }
	sdk.Register(sdk.Plugin{Name: "stateful", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: []controller.Watch{{Resource: "apps/v1/statefulsets"}}, Reconcile: nothing}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "onlooker", New: func([]byte) (sdk.Points, error) {
		return &controller.Points{Watches: []controller.Watch{
			{Resource: "apps/v1/statefulsets", Map: controller.InNamespace()}, {Resource: controller.AllResources, Metadata: true}}, Reconcile: nothing}, nil
	}})
	sdk.Register(sdk.Plugin{Name: "limits", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{Match: []admission.MatchRule{{Resources: []string{"v1/pods"}}}, Implements: []string{"v1/limitranges"},
			Validate: func(*admission.Review) error { return nil }}, nil
	}})
}

// creation creates an object without storing it and returns the warnings that
// say that nobody acts on it.
func creation(t *testing.T, r registry.Registry, gvr schema.GroupVersionResource, obj runtime.Object) (warnings int) {
	t.Helper()
	res, err := r.Create(t.Context(), registry.Target{Resource: gvr, Namespace: "default"}, obj, registry.WriteOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range res.Warnings {
		if strings.Contains(w, "nobody acts on it") {
			warnings++
		}
	}
	return warnings
}

var podTemplate = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "a"}},
	Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}

func selector() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}}
}

// TestWhoActsOnAKind: who creates an object that nobody acts on is told so. A
// plugin that is loaded ends that, by its manifest; unloaded, rehearsed or only
// looking on it does not.
func TestWhoActsOnAKind(t *testing.T) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16")}}, v1alpha1.Extend)
	if err != nil {
		t.Fatal(err)
	}
	s := kerneltest.Start(t, kerneltest.Options{Table: table, Config: func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		c.Implementers = map[string][]schema.GroupResource{"agents": {{Group: "networking.k8s.io", Resource: "networkpolicies"}}}
	}})
	sets := func() int {
		return creation(t, s.Registry, appsv1.SchemeGroupVersion.WithResource("statefulsets"), &appsv1.StatefulSet{
			TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "StatefulSet"}, ObjectMeta: metav1.ObjectMeta{Name: "s"},
			Spec: appsv1.StatefulSetSpec{ServiceName: "s", Selector: selector(), Template: podTemplate}})
	}
	limits := func() int {
		return creation(t, s.Registry, corev1.SchemeGroupVersion.WithResource("limitranges"), &corev1.LimitRange{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "LimitRange"}, ObjectMeta: metav1.ObjectMeta{Name: "l"}})
	}
	pod := creation(t, s.Registry, corev1.SchemeGroupVersion.WithResource("pods"), &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: podTemplate.Spec})
	config := creation(t, s.Registry, corev1.SchemeGroupVersion.WithResource("configmaps"), &corev1.ConfigMap{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "c"}})
	if pod != 0 || config != 0 || sets() != 1 || limits() != 1 {
		t.Errorf("without plugins: warnings of a pod %d, of a ConfigMap %d, want none; of a StatefulSet %d, of a LimitRange %d, want one", pod, config, sets(), limits())
	}

	load(t, s, "onlooker", v1alpha1.Enforce)
	if sets() != 1 {
		t.Error("a plugin that watches a kind for the sake of others counts")
	}
	load(t, s, "limits", v1alpha1.Monitor)
	if limits() != 1 {
		t.Error("a plugin that is rehearsed counts")
	}
	load(t, s, "limits", v1alpha1.Enforce)
	load(t, s, "stateful", v1alpha1.Enforce)
	if sets() != 0 || limits() != 0 {
		t.Errorf("with their plugins: warnings of a StatefulSet %d, of a LimitRange %d, want none", sets(), limits())
	}
	if _, err := s.Registry.Delete(t.Context(), registry.Target{Resource: v1alpha1.Plugins, Name: "stateful"}, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the warning comes back", func() bool { return sets() == 1 })
}

// load makes a Plugin of what is linked in, or changes its mode, and waits until
// it is in use.
func load(t *testing.T, s *kerneltest.Server, name string, mode v1alpha1.Mode) {
	t.Helper()
	target := registry.Target{Resource: v1alpha1.Plugins, Name: name}
	p := &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"}, ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1alpha1.PluginSpec{Plugin: name, Host: v1alpha1.HostNative, Mode: mode,
			Permissions: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list", "watch"}}}}}
	res, err := s.Registry.Create(t.Context(), target, p, registry.WriteOptions{})
	if err != nil {
		var now *v1alpha1.Plugin
		now, err = current(t.Context(), s, target)
		if err == nil {
			now = now.DeepCopy()
			now.Spec.Mode = mode
			res, err = s.Registry.Update(t.Context(), target, now, registry.WriteOptions{})
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	want := res.Object.Obj.(*v1alpha1.Plugin).Generation
	eventually(t, "plugin "+name+" is ready", func() bool {
		p, err := current(t.Context(), s, target)
		if err != nil {
			t.Fatal(err)
		}
		if p.Status.Phase == v1alpha1.Failed {
			t.Fatalf("plugin %s: %s", name, p.Status.Message)
		}
		return p.Status.Phase == v1alpha1.Ready && p.Status.ObservedGeneration == want
	})
}

func current(ctx context.Context, s *kerneltest.Server, t registry.Target) (*v1alpha1.Plugin, error) {
	o, err := s.Registry.Get(ctx, t, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	p, ok := o.Obj.(*v1alpha1.Plugin)
	if !ok {
		return nil, fmt.Errorf("%T is no Plugin", o.Obj)
	}
	return p, nil
}
