package membership_test

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/pintle-io/pintle/node/membership"
)

func config(c *fake.Clientset, health func() membership.Health) membership.Config {
	return membership.Config{
		Client: c, Name: "n1", Labels: map[string]string{"zone": "a"}, Taints: []corev1.Taint{{Key: "k", Effect: corev1.TaintEffectNoSchedule}},
		Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "10.0.0.1"}},
		Capacity:  corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("2")}, Allocatable: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")},
		Info: corev1.NodeSystemInfo{OperatingSystem: "linux", Architecture: "amd64"}, Port: 10250, DeclaredFeatures: []string{"Known"},
		LeaseDuration: 400 * time.Millisecond, StatusInterval: 20 * time.Millisecond, ReportInterval: time.Hour,
		Health: func(context.Context) membership.Health { return health() },
	}
}

func node(t *testing.T, c *fake.Clientset) *corev1.Node {
	t.Helper()
	n, err := c.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func condition(n *corev1.Node, kind corev1.NodeConditionType) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == kind {
			return c
		}
	}
	return corev1.NodeCondition{}
}

func TestRegister(t *testing.T) {
	well := membership.Health{Runtime: true, Network: true}
	c := fake.NewSimpleClientset()
	if _, err := membership.New(config(c, func() membership.Health { return well })).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := node(t, c)
	if n.Labels["kubernetes.io/hostname"] != "n1" || n.Labels["kubernetes.io/arch"] != "amd64" || n.Labels["zone"] != "a" || len(n.Spec.Taints) != 1 {
		t.Errorf("got %v %v", n.Labels, n.Spec.Taints)
	}
	if n.Status.DaemonEndpoints.KubeletEndpoint.Port != 10250 || n.Status.Allocatable.Cpu().String() != "1" || condition(n, corev1.NodeReady).Status != corev1.ConditionTrue {
		t.Errorf("status: got %+v", n.Status)
	}
	if got := n.Status.DeclaredFeatures; len(got) != 1 || got[0] != "Known" {
		t.Errorf("declared features: got %v", got)
	}
	// A node that exists keeps what others did to it.
	n.Labels["kubernetes.io/arch"], n.Labels["theirs"], n.Spec.Unschedulable, n.Spec.Taints = "old", "x", true, nil
	if _, err := c.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := membership.New(config(c, func() membership.Health { return well })).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = node(t, c)
	if n.Labels["kubernetes.io/arch"] != "amd64" || n.Labels["theirs"] != "x" || !n.Spec.Unschedulable || len(n.Spec.Taints) != 0 {
		t.Errorf("registered again: got %v %+v", n.Labels, n.Spec)
	}
}

func TestRegisterWaitsForTheServer(t *testing.T) {
	c := fake.NewSimpleClientset()
	tries := 0
	c.PrependReactor("create", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		tries++
		return tries < 3, nil, errors.New("connection refused")
	})
	if _, err := membership.New(config(c, func() membership.Health { return membership.Health{} })).Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	tries = -1000
	if n, err := membership.New(config(c, func() membership.Health { return membership.Health{} })).Register(ctx); err == nil || n != nil {
		t.Errorf("got %v %v", n, err)
	}
}

func TestConditionsAndLease(t *testing.T) {
	c := fake.NewSimpleClientset()
	var sick atomic.Bool
	var patches atomic.Int64
	c.PrependReactor("patch", "nodes", func(clienttesting.Action) (bool, runtime.Object, error) {
		patches.Add(1)
		return false, nil, nil
	})
	m := membership.New(config(c, func() membership.Health {
		if sick.Load() {
			return membership.Health{Network: true, Disk: true, Message: "container runtime is down"}
		}
		return membership.Health{Runtime: true, Network: true}
	}))
	if _, err := m.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	lease := func() *coordinationv1.Lease {
		l, err := c.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), "n1", metav1.GetOptions{})
		if err != nil {
			return nil
		}
		return l
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: did not happen: %+v", what, node(t, c).Status.Conditions)
			}
		}
	}
	await("a lease", func() bool { return lease() != nil })
	first := lease()
	if *first.Spec.HolderIdentity != "n1" || *first.Spec.LeaseDurationSeconds != 1 {
		t.Errorf("lease: got %+v", first.Spec)
	}
	await("a renewal", func() bool { return lease().Spec.RenewTime.After(first.Spec.RenewTime.Time) })
	quiet := patches.Load()
	time.Sleep(100 * time.Millisecond)
	if got := patches.Load(); got != quiet {
		t.Errorf("an unchanged status was reported %d times", got-quiet)
	}
	before := condition(node(t, c), corev1.NodeMemoryPressure)
	sick.Store(true)
	m.Poke()
	await("not ready", func() bool {
		r := condition(node(t, c), corev1.NodeReady)
		return r.Status == corev1.ConditionFalse && r.Message == "container runtime is down"
	})
	n := node(t, c)
	if condition(n, corev1.NodeDiskPressure).Status != corev1.ConditionTrue {
		t.Error("no disk pressure")
	}
	if got := condition(n, corev1.NodeMemoryPressure); !got.LastTransitionTime.Equal(&before.LastTransitionTime) {
		t.Error("an unchanged condition turned")
	}
	// Somebody deletes the node: it registers again.
	sick.Store(false)
	if err := c.CoreV1().Nodes().Delete(t.Context(), "n1", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	await("registered again", func() bool {
		n, err := c.CoreV1().Nodes().Get(t.Context(), "n1", metav1.GetOptions{})
		return err == nil && condition(n, corev1.NodeReady).Status == corev1.ConditionTrue
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestAdvertisedResources: what others advertise on the node stays, as long as
// they do; what the node itself says is the node's.
func TestAdvertisedResources(t *testing.T) {
	c := fake.NewSimpleClientset()
	var sick atomic.Bool
	m := membership.New(config(c, func() membership.Health { return membership.Health{Runtime: !sick.Load(), Network: true} }))
	if _, err := m.Register(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	defer func() {
		cancel()
		<-done
	}()
	for patch, dongles := range map[string]string{
		`{"status":{"capacity":{"example.com/dongle":"3","cpu":"64"}}}`:                               "3 3",
		`{"status":{"capacity":{"example.com/dongle":"2"},"allocatable":{"example.com/dongle":"1"}}}`: "2 2",
		`{"status":{"capacity":{"example.com/dongle":null}}}`:                                         "",
	} {
		if _, err := c.CoreV1().Nodes().Patch(t.Context(), "n1", types.MergePatchType, []byte(patch), metav1.PatchOptions{}, "status"); err != nil {
			t.Fatal(err)
		}
		want := map[string]string{"cpu": "2 1"}
		if dongles != "" {
			want["example.com/dongle"] = dongles
		}
		sick.Store(!sick.Load())
		m.Poke()
		show := func() map[string]string {
			n, out := node(t, c), map[string]string{}
			for name, q := range n.Status.Capacity {
				a := n.Status.Allocatable[name]
				out[string(name)] = q.String() + " " + a.String()
			}
			return out
		}
		for end := time.Now().Add(10 * time.Second); !maps.Equal(show(), want); time.Sleep(2 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("after %s: got %v, want %v", patch, show(), want)
			}
		}
	}
}

func TestSubtract(t *testing.T) {
	got := membership.Subtract(corev1.ResourceList{"cpu": resource.MustParse("2"), "memory": resource.MustParse("1Gi")},
		corev1.ResourceList{"cpu": resource.MustParse("500m"), "memory": resource.MustParse("2Gi"), "gpu": resource.MustParse("1")})
	if len(got) != 2 || got.Cpu().MilliValue() != 1500 || !got.Memory().IsZero() {
		t.Errorf("got %v", got)
	}
}
