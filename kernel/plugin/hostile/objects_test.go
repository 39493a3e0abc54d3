package hostile_test

import (
	"fmt"
	"regexp"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
)

var (
	manyPods  = resource.MustParse("100k")
	noOptions = registry.WriteOptions{}
)

func (s *server) create(t testing.TB, r schema.GroupVersionResource, namespace string, o runtime.Object) {
	t.Helper()
	m, err := meta.Accessor(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.as(admin).Create(s.ctx, target(r, namespace, m.GetName()), o, noOptions); err != nil {
		t.Fatalf("create %s %s/%s: %v", r.Resource, namespace, m.GetName(), err)
	}
}

func podOf(namespace, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "web:1"}}}}
}

// createPod tries to create a pod and returns what the client is told.
func (s *server) createPod(namespace, name string) (warnings []string, err error) {
	p := podOf(namespace, name)
	res, err := s.as(admin).Create(s.ctx, target(podResource, namespace, name), p, noOptions)
	if err != nil {
		return nil, err
	}
	return res.Warnings, nil
}

// pod is a pod as it is now; nil when there is none.
func (s *server) pod(t testing.TB, namespace, name string) *corev1.Pod {
	t.Helper()
	o, err := s.as(admin).Get(s.ctx, target(podResource, namespace, name), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return o.Obj.(*corev1.Pod)
}

// condition is the message of a pod's PodScheduled condition.
func condition(p *corev1.Pod) string {
	if p == nil {
		return "it does not exist"
	}
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodScheduled {
			return c.Message
		}
	}
	return ""
}

func (s *server) awaitBound(t testing.TB, namespace, name string) {
	t.Helper()
	var last *corev1.Pod
	if !waits(func() bool { last = s.pod(t, namespace, name); return last != nil && last.Spec.NodeName != "" }) {
		t.Fatalf("pod %s/%s is not bound: %q", namespace, name, condition(last))
	}
}

// load creates a Plugin.
func (s *server) load(t testing.TB, name string, spec v1alpha1.PluginSpec) {
	t.Helper()
	s.create(t, v1alpha1.Plugins, "", &v1alpha1.Plugin{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec})
}

// remove deletes a Plugin.
func (s *server) remove(t testing.TB, name string) {
	t.Helper()
	if _, err := s.as(admin).Delete(s.ctx, target(v1alpha1.Plugins, "", name), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await(t, "the plugin is gone", func() bool {
		_, err := s.as(admin).Get(s.ctx, target(v1alpha1.Plugins, "", name), metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
}

func (s *server) plugin(t testing.TB, name string) *v1alpha1.Plugin {
	t.Helper()
	o, err := s.as(admin).Get(s.ctx, target(v1alpha1.Plugins, "", name), metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return o.Obj.(*v1alpha1.Plugin)
}

// phase waits for a phase.
func (s *server) phase(t testing.TB, name string, want ...v1alpha1.Phase) *v1alpha1.Plugin {
	t.Helper()
	var p *v1alpha1.Plugin
	if !waits(func() bool {
		p = s.plugin(t, name)
		for _, x := range want {
			if p.Status.Phase == x {
				return true
			}
		}
		return false
	}) {
		t.Fatalf("plugin %s is %s, want %v: %q", name, p.Status.Phase, want, p.Status.Message)
	}
	return p
}

// says waits until status, conditions or an event of the plugin match.
func (s *server) says(t testing.TB, name, pattern string) {
	t.Helper()
	want := regexp.MustCompile(pattern)
	var heard []string
	if !waits(func() bool {
		heard = s.heard(t, name)
		for _, text := range heard {
			if want.MatchString(text) {
				return true
			}
		}
		return false
	}) {
		t.Errorf("neither status nor events of plugin %s say %q, only %.2000q", name, pattern, heard)
	}
}

// heard is all that an operator can read about a plugin.
func (s *server) heard(t testing.TB, name string) []string {
	t.Helper()
	p := s.plugin(t, name)
	out := []string{p.Status.Message}
	for _, c := range p.Status.Conditions {
		out = append(out, c.Message)
	}
	for _, e := range s.events(t, "Plugin", name) {
		out = append(out, fmt.Sprintf("event %s: %s", e.Reason, e.Message))
	}
	return out
}

func (s *server) events(t testing.TB, kind, name string) (out []*corev1.Event) {
	t.Helper()
	l, err := s.as(admin).List(s.ctx, target(eventResource, "", ""), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range l.Items {
		if e, ok := o.Obj.(*corev1.Event); ok && e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			out = append(out, e)
		}
	}
	return out
}
