package kernel_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/registry/registrytest"
	"github.com/pintle-io/pintle/kernel/resource"
)

// TestAgentsFollowNodes: whose agent is asked to reach a pod follows the nodes' ranges.
func TestAgentsFollowNodes(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var last string // whose agent was asked for last
	c := kerneltest.Start(t, kerneltest.Options{Config: func(c *kernel.Config) {
		c.Dial = func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Err: syscall.ENETUNREACH}
		}
		c.AgentOf = func(_ context.Context, _ resource.Reader, node string) (*resource.Target, error) {
			mu.Lock()
			defer mu.Unlock()
			last = node
			return nil, errors.New("no agent here")
		}
		c.PodRanges = func(obj runtime.Object) []netip.Prefix {
			n, ok := obj.(*corev1.Node)
			if !ok || n.Spec.PodCIDR == "" {
				return nil
			}
			return []netip.Prefix{netip.MustParsePrefix(n.Spec.PodCIDR)}
		}
	}})
	cs := kerneltest.Client(t, c.Admin())
	node := func(name, cidr string) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDR: cidr}}
	}
	for _, n := range []*corev1.Node{node("one", "10.244.1.0/24"), node("two", "10.244.2.0/24"), node("fresh", "")} {
		if _, err := cs.CoreV1().Nodes().Create(t.Context(), n, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	pods := cs.CoreV1().Pods("default")
	p, err := pods.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	asks := func(ip, want string) {
		t.Helper()
		p.Status.PodIP = ip
		if p, err = pods.UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		registrytest.Eventually(t, "for "+ip+" the agent of "+want+" is asked", func() bool {
			mu.Lock()
			last = ""
			mu.Unlock()
			_, err := pods.ProxyGet("http", "p", "80", "/", nil).DoRaw(t.Context())
			mu.Lock()
			defer mu.Unlock()
			return err != nil && last == want
		})
	}
	asks("10.244.1.7", "one")
	asks("10.244.2.7", "two")
	asks("10.244.3.7", "")
	if _, err := cs.CoreV1().Nodes().Patch(t.Context(), "fresh", "application/merge-patch+json", []byte(`{"spec":{"podCIDR":"10.244.3.0/24"}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	asks("10.244.3.7", "fresh")
	if err := cs.CoreV1().Nodes().Delete(t.Context(), "two", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	asks("10.244.2.7", "")
}
