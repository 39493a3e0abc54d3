package hostclient_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/registry"
	lightcore "github.com/pintle-io/pintle/sdk/api/core/v1"
	lightmeta "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// TestCreateSubresource: what is posted to a subresource does what it does for clients, and
// what takes no posts is told from what is not there.
func TestCreateSubresource(t *testing.T) {
	b := newBench(t)
	if _, err := b.Create(t.Context(), registry.Target{Resource: corev1.SchemeGroupVersion.WithResource("pods"), Namespace: "default"}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"},
		Spec: corev1.PodSpec{RestartPolicy: "Always", DNSPolicy: "ClusterFirst", Containers: []corev1.Container{{Name: "c", Image: "i", ImagePullPolicy: "Always", TerminationMessagePolicy: "File"}}}}, registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &lightcore.Binding{ObjectMeta: lightmeta.ObjectMeta{Namespace: "default", Name: "p"}, Target: lightcore.ObjectReference{Kind: "Node", Name: "n"}}
	var st lightmeta.Status
	if err := b.c.CreateSubresource("v1/pods", "binding", binding, &st); err != nil || st.Status != "Success" {
		t.Fatalf("%+v, %v", st, err)
	}
	p := &lightcore.Pod{}
	if err := b.c.Get(p, "default", "p"); err != nil || p.Spec.NodeName != "n" {
		t.Errorf("the pod is on %q, %v", p.Spec.NodeName, err)
	}
	if err := b.c.CreateSubresource("v1/pods", "binding", binding, nil); !client.IsConflict(err) {
		t.Errorf("bound twice: %v", err)
	}
	for _, sub := range []string{"status", "nothing"} {
		if err := b.c.CreateSubresource("v1/pods", sub, binding, nil); !client.IsUnsupported(err) {
			t.Errorf("%s: %v", sub, err)
		}
	}
	binding.Name = "none"
	if err := b.c.CreateSubresource("v1/pods", "binding", binding, nil); !client.IsNotFound(err) {
		t.Errorf("no such pod: %v", err)
	}
	if err := b.c.CreateSubresource("v1/pods", "binding", binding, st); err == nil {
		t.Error("the answer goes into a copy")
	}
}

// TestInAnyVersion: a resource is found by its group and plural.
func TestInAnyVersion(t *testing.T) {
	b := newBench(t)
	b.define(t)
	for resource, want := range map[string]bool{client.InAnyVersion("", "pods"): true, client.InAnyVersion("free.example", "gadgets"): true, client.InAnyVersion("free.example", "none"): false} {
		var all []*lightcore.Pod
		if err := b.c.List(&all, client.ListOptions{Resource: resource, Fresh: true}); (err == nil) != want || err != nil && !client.IsNotFound(err) {
			t.Errorf("%s: %v", resource, err)
		}
	}
}
