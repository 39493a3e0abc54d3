package pod

import (
	"context"
	"runtime"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/tools/record"

	"github.com/pintle-io/pintle/node/admit"
)

// full is workers that never run, on a node with two CPUs. asked is called with
// the name of a pod while it is decided about.
type full struct {
	*Workers
	asked func(name string)
	left  chan struct{} // closed when leave is done
}

func newFull() *full {
	f := &full{asked: func(string) {}, left: make(chan struct{})}
	node := &admit.Node{Object: &corev1.Node{}, Allocatable: corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("2"), corev1.ResourcePods: resource.MustParse("9")}}
	f.Workers = NewWorkers(Config{Client: fake.NewSimpleClientset(), Recorder: record.NewFakeRecorder(100),
		Admit: func(_ context.Context, p *corev1.Pod, others []*corev1.Pod) *admit.Refusal {
			f.asked(p.Name)
			return admit.Check(p, others, node)
		}})
	f.Open()
	return f
}

func cpus(p *corev1.Pod, cpu string) *corev1.Pod {
	p = p.DeepCopy()
	p.Generation++
	p.Spec.Containers = []corev1.Container{{Name: "c", Resources: corev1.ResourceRequirements{
		Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cpu)}}}}
	return p
}

// wants takes up a pod and then has it ask for more, of which its worker, which
// does not run, would tell.
func (f *full) wants(name string, priority int32, has, want string) {
	p := cpus(aged(name, 0), has)
	p.Spec.Priority = &priority
	f.Update(p)
	if want != "" {
		f.Update(cpus(p, want))
	}
}

func (f *full) has(name string) string {
	for _, p := range f.Pods() {
		if p.Name == name {
			return p.Spec.Containers[0].Resources.Requests.Cpu().String()
		}
	}
	return "nothing"
}

// leave ends a pod as its worker does, beside a decision that is being made. It
// returns when the pod is gone, and whether that made room has been looked at,
// or will be.
func (f *full) leave(name string) {
	var done atomic.Bool
	k := f.of(aged(name, 0).UID)
	go func() {
		defer close(f.left)
		f.forget(k)
		done.Store(true)
	}()
	for f.of(k.uid) != nil || f.admission.waiting.Load() == 0 && !done.Load() {
		runtime.Gosched()
	}
}

// TestRoomWhileDeciding: what becomes free between two decisions is not given to
// whoever happens to be next, but to the first in the order.
func TestRoomWhileDeciding(t *testing.T) {
	f := newFull()
	f.wants("other", 0, "1", "")
	f.wants("small", 0, "200m", "1100m")
	f.wants("important", 7, "200m", "1")
	f.asked = func(name string) {
		if name == "important" { // the first: other still counts
			f.asked = func(string) {}
			f.leave("other")
		}
	}
	f.decide()
	<-f.left
	if got := f.has("important") + " " + f.has("small"); got != "1 200m" {
		t.Errorf("important and small have %s, want 1 200m", got)
	}
}

// TestRoomWhileFirstWaits: room that is made while the first resize is being
// put off is not overlooked.
func TestRoomWhileFirstWaits(t *testing.T) {
	f := newFull()
	f.wants("other", 0, "1", "")
	f.wants("app", 0, "200m", "1100m")
	f.asked = func(string) {
		f.asked = func(string) {}
		f.leave("other")
	}
	f.decide()
	<-f.left
	if got := f.has("app"); got != "1100m" {
		t.Errorf("has %s, want 1100m", got)
	}
}
