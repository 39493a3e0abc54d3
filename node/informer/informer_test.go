package informer_test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"

	"github.com/pintle-io/pintle/node/informer"
)

func meta(ns, name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: ns, Name: name,
		Labels:        map[string]string{"app": "x", discoveryv1.LabelServiceName: "web"},
		Annotations:   map[string]string{"note": "long"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m"}}}
}

// run starts the informers and ends them with the test.
func run(t *testing.T, s *informer.Set) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run: %v", err)
		}
	})
}

func all(s *informer.Set) []cache.SharedIndexInformer {
	return []cache.SharedIndexInformer{s.Pods(), s.Services(), s.EndpointSlices(), s.Namespaces(), s.Nodes()}
}

// However many parts ask, before and after the start, each resource is listed
// and watched once; pods by their node.
func TestOneWatchPerResource(t *testing.T) {
	client := fake.NewClientset(&corev1.Service{ObjectMeta: meta("ns", "web")})
	var mu sync.Mutex
	watches := map[string]int{}
	client.PrependWatchReactor("*", func(a k8stesting.Action) (bool, watch.Interface, error) {
		mu.Lock()
		defer mu.Unlock()
		what := a.GetResource().Resource
		if w := a.(k8stesting.WatchAction).GetWatchRestrictions(); w.Fields != nil && !w.Fields.Empty() {
			what += " of " + w.Fields.String()
		}
		watches[what]++
		return false, nil, nil
	})
	s := informer.New(client, "here")
	for range 2 {
		for _, i := range all(s) {
			if _, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	run(t, s)
	var synced []cache.InformerSynced
	for _, i := range all(s) {
		synced = append(synced, i.HasSynced)
	}
	if !cache.WaitForCacheSync(t.Context().Done(), synced...) {
		t.Fatal("not synced")
	}
	told := make(chan any, 1)
	late, err := s.Services().AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: func(o any) { told <- o }})
	if err != nil {
		t.Fatal(err)
	}
	if !cache.WaitForCacheSync(t.Context().Done(), late.HasSynced) {
		t.Fatal("a late handler does not sync")
	}
	if got := (<-told).(*corev1.Service).Name; got != "web" {
		t.Errorf("a late handler was told of %q", got)
	}
	mu.Lock()
	defer mu.Unlock()
	want := map[string]int{"pods of spec.nodeName=here": 1, "services": 1, "endpointslices": 1, "namespaces": 1, "nodes": 1}
	if d := cmp.Diff(want, watches); d != "" {
		t.Errorf("watches (-want +got):\n%s", d)
	}
}

func TestTrim(t *testing.T) {
	node := func(name string) *corev1.Node {
		return &corev1.Node{ObjectMeta: meta("", name), Spec: corev1.NodeSpec{PodCIDR: "10.244.0.0/24", Taints: []corev1.Taint{{Key: "k"}}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.0.2.1"}}, Images: []corev1.ContainerImage{{SizeBytes: 1}}}}
	}
	client := fake.NewClientset(
		node("here"), node("there"),
		&corev1.Pod{ObjectMeta: meta("ns", "p"), Spec: corev1.PodSpec{NodeName: "here"}},
		&corev1.Service{ObjectMeta: meta("ns", "web"), Spec: corev1.ServiceSpec{ClusterIP: "10.96.0.1"}},
		&corev1.Namespace{ObjectMeta: meta("", "ns"), Status: corev1.NamespaceStatus{Phase: corev1.NamespaceActive}})
	s := informer.New(client, "here")
	run(t, s)
	var synced []cache.InformerSynced
	for _, i := range all(s) {
		synced = append(synced, i.HasSynced)
	}
	if !cache.WaitForCacheSync(t.Context().Done(), synced...) {
		t.Fatal("not synced")
	}
	get := func(i cache.SharedIndexInformer, key string) runtime.Object {
		t.Helper()
		o, ok, err := i.GetStore().GetByKey(key)
		if err != nil || !ok {
			t.Fatalf("%s: %v, %v", key, ok, err)
		}
		return o.(runtime.Object)
	}
	here, there := get(s.Nodes(), "here").(*corev1.Node), get(s.Nodes(), "there").(*corev1.Node)
	if len(here.Spec.Taints) != 1 || here.Labels["app"] != "x" || here.ManagedFields != nil {
		t.Errorf("this node: %v", here)
	}
	if there.Spec.PodCIDR == "" || len(there.Status.Addresses) != 1 || there.Spec.Taints != nil || there.Status.Images != nil || there.Annotations != nil {
		t.Errorf("another node: %v", there)
	}
	if p := get(s.Pods(), "ns/p").(*corev1.Pod); p.ManagedFields != nil || p.Annotations["note"] == "" {
		t.Errorf("pod: %v", p)
	}
	web := get(s.Services(), "ns/web").(*corev1.Service)
	if d := cmp.Diff(map[string]string{discoveryv1.LabelServiceName: "web"}, web.Labels); d != "" || web.Annotations != nil || web.Spec.ClusterIP == "" {
		t.Errorf("service: %v", web)
	}
	if ns := get(s.Namespaces(), "ns").(*corev1.Namespace); ns.Status.Phase != "" || ns.Labels != nil {
		t.Errorf("namespace: %v", ns)
	}
}
