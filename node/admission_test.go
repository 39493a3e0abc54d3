package node_test

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/pintle-io/pintle/node"
)

// TestAdmission: a pod that names its node itself does not overfill it, and
// what runs goes on running when the agent starts anew on a smaller machine.
func TestAdmission(t *testing.T) {
	c := newCluster(t, func(cfg *node.Config) {
		cfg.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("1")}
	})
	asks := func(cpu string) corev1.PodSpec {
		box := shell("app", "exec sleep 1000")
		box.Resources.Requests = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}
		return corev1.PodSpec{Containers: []corev1.Container{box}}
	}
	failed := func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodFailed }
	c.pod("first", asks("600m"))
	c.await("first", "first runs", ready)
	c.pod("second", asks("500m"))
	p := c.await("second", "second is refused", failed)
	if p.Status.Reason != "OutOfcpu" || p.Status.Message != "Pod was rejected: Node didn't have enough resource: cpu, requested: 500, used: 600, capacity: 1000" {
		t.Errorf("got %s: %s", p.Status.Reason, p.Status.Message)
	}
	if len(p.Status.ContainerStatuses) > 0 {
		t.Errorf("containers: got %v", p.Status.ContainerStatuses)
	}
	eventually(t, "an event tells", func() bool { return strings.Contains(c.events("second"), "OutOfcpu: Node didn't have enough") },
		func() string { return c.events("second") })
	c.halt()
	c.cfg.Capacity = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("500m")}
	c.run()
	c.pod("third", asks("10m"))
	c.await("third", "third is refused", failed)
	if p := c.get("first"); !ready(p) {
		t.Errorf("the pod that ran: got %+v", p.Status)
	}
	c.delete("second", 30)
	c.delete("third", 0)
}
