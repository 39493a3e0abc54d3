package core

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// nodeCache is a cache that has nodes alone.
type nodeCache []*corev1.Node

func (n nodeCache) Get(_ context.Context, gr schema.GroupResource, _, name string) (runtime.Object, error) {
	for _, x := range n {
		if x.Name == name {
			return x, nil
		}
	}
	return nil, apierrors.NewNotFound(gr, name)
}

func (n nodeCache) List(context.Context, schema.GroupResource, string) (out []runtime.Object, err error) {
	for _, x := range n {
		out = append(out, x)
	}
	return out, nil
}

// TestAgentOf: where the addresses of a node's pods are, and its agent.
func TestAgentOf(t *testing.T) {
	node := func(name, address string, port int32, cidrs ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: cidrs}}
		if len(cidrs) > 0 {
			n.Spec.PodCIDR = cidrs[0]
		}
		if address != "" {
			n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: address}}
		}
		n.Status.DaemonEndpoints.KubeletEndpoint.Port = port
		return n
	}
	all := nodeCache{node("fresh", "10.0.0.9", 0), node("odd", "10.0.0.8", 0, "nonsense"), node("one", "10.0.0.1", 0, "10.244.1.0/24", "fd00:1::/64"), node("two", "10.0.0.2", 10300, "10.244.2.0/24"), node("lost", "", 0, "10.244.3.0/24")}
	for i, tt := range []struct{ ranges, host string }{
		{"[]", "10.0.0.9:10250"}, {"[]", "10.0.0.8:10250"}, {"[10.244.1.0/24 fd00:1::/64]", "10.0.0.1:10250"}, {"[10.244.2.0/24]", "10.0.0.2:10300"}, {"[10.244.3.0/24]", ""},
	} {
		name := all[i].Name
		if got := fmt.Sprint(PodRanges(all[i])); got != tt.ranges {
			t.Errorf("%s: ranges %s, want %s", name, got, tt.ranges)
		}
		got, err := AgentOf(t.Context(), all, name)
		if tt.host == "" {
			if !apierrors.IsServiceUnavailable(err) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || got.Node != name || got.Host != tt.host {
			t.Errorf("%s: %+v, %v; want %s", name, got, err, tt.host)
		}
	}
	if _, err := AgentOf(t.Context(), all, "none"); !apierrors.IsNotFound(err) {
		t.Error(err)
	}
}
