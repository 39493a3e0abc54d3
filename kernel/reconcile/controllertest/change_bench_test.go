package controllertest_test

import (
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
)

// fleetKind is a kind whose objects have pods, as BenchmarkChange needs it.
type fleetKind struct {
	plugin   string
	resource schema.GroupVersionResource
	// nodes: a pod for each node, instead of as many as it is created with.
	nodes  bool
	create func(name string, n int) runtime.Object
	// made and ready are how many pods it has, by its status, and how many are ready.
	made, ready func(runtime.Object) int32
}

var fleetKinds = []fleetKind{
	{plugin: "statefulset", resource: appsv1.SchemeGroupVersion.WithResource("statefulsets"),
		create: func(name string, n int) runtime.Object {
			s := newStatefulSet(name, int32(n))
			s.Spec.PodManagementPolicy, s.Spec.VolumeClaimTemplates, s.Spec.PersistentVolumeClaimRetentionPolicy = appsv1.ParallelPodManagement, nil, nil
			s.Spec.Template.Spec.Containers[0].VolumeMounts = nil
			return s
		},
		made:  func(o runtime.Object) int32 { return o.(*appsv1.StatefulSet).Status.Replicas },
		ready: func(o runtime.Object) int32 { return o.(*appsv1.StatefulSet).Status.ReadyReplicas }},
	{plugin: "job", resource: batchv1.SchemeGroupVersion.WithResource("jobs"),
		create: func(name string, n int) runtime.Object {
			count := int32(n)
			return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: batchv1.JobSpec{Parallelism: &count, Completions: &count,
				Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "image:1"}}}}}}
		},
		made: func(o runtime.Object) int32 { return o.(*batchv1.Job).Status.Active },
		ready: func(o runtime.Object) int32 {
			if r := o.(*batchv1.Job).Status.Ready; r != nil {
				return *r
			}
			return 0
		}},
	{plugin: "daemonset", resource: appsv1.SchemeGroupVersion.WithResource("daemonsets"), nodes: true,
		create: func(name string, _ int) runtime.Object { return newDaemonSet(name) },
		made:   func(o runtime.Object) int32 { return o.(*appsv1.DaemonSet).Status.CurrentNumberScheduled },
		ready:  func(o runtime.Object) int32 { return o.(*appsv1.DaemonSet).Status.NumberReady }},
	{plugin: "replicaset", resource: appsv1.SchemeGroupVersion.WithResource("replicasets"),
		create: func(name string, n int) runtime.Object {
			count, t := int32(n), podTemplate(name)
			return &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.ReplicaSetSpec{Replicas: &count, Selector: &metav1.LabelSelector{MatchLabels: t.Labels}, Template: t}}
		},
		made:  func(o runtime.Object) int32 { return o.(*appsv1.ReplicaSet).Status.Replicas },
		ready: func(o runtime.Object) int32 { return o.(*appsv1.ReplicaSet).Status.ReadyReplicas }},
}

// BenchmarkChange is what one pod costs that becomes ready, or stops to be, in a fleet:
// the time until the status of what it belongs to tells of it. Fleets are so many objects
// of so many pods; of DaemonSets, pods are nodes.
func BenchmarkChange(b *testing.B) {
	for _, h := range []struct {
		name string
		open func(testing.TB) host
	}{{"native", nativeHost}, {"wasm", wasmHost}} {
		hosted := h.open(b)
		for _, k := range fleetKinds {
			for _, fleet := range [][2]int{{1, 10}, {1000, 10}, {1, 10000}} {
				if k.nodes && fleet[0] > 1 {
					fleet = [2]int{10, 1000}
				}
				b.Run(fmt.Sprintf("%s/%s/%dx%d", k.plugin, h.name, fleet[0], fleet[1]), func(b *testing.B) { k.benchmark(b, hosted, fleet[0], fleet[1]) })
			}
		}
	}
}

func (k *fleetKind) benchmark(b *testing.B, h host, objects, pods int) {
	c := newCluster(b, h, k.plugin)
	if k.nodes {
		for i := range pods {
			c.mustCreate(b, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%05d", i), Labels: map[string]string{"kubernetes.io/os": "linux"}}})
		}
	}
	start := time.Now()
	for i := range objects {
		c.mustCreate(b, k.create(fmt.Sprintf("fleet-%d", i), pods))
	}
	eventually(b, "made", func() string {
		time.Sleep(50 * time.Millisecond) // a look at ten thousand objects is no part of it
		made := 0
		for _, o := range k.list(b, c) {
			made += int(k.made(o))
		}
		return equal("made", made, objects*pods)
	})
	took := time.Since(start)
	k.change(b, c)
	b.ReportMetric(float64(objects*pods)/took.Seconds(), "pods/s")
}

func (k *fleetKind) list(b *testing.B, c *cluster) (out []runtime.Object) {
	l, err := c.List(b.Context(), registry.Target{Resource: k.resource, Namespace: namespace}, metav1.ListOptions{ResourceVersion: "0"})
	if err != nil {
		b.Fatal(err)
	}
	for _, i := range l.Items {
		out = append(out, i.Obj)
	}
	return out
}

// change makes a pod of fleet-0 ready and unready.
func (k *fleetKind) change(b *testing.B, c *cluster) {
	var pod string
	for _, p := range list[corev1.Pod](b, c, namespace) {
		if p.OwnerReferences[0].Name == "fleet-0" {
			pod = p.Name
			break
		}
	}
	w, err := c.Watch(b.Context(), registry.Target{Resource: k.resource, Namespace: namespace}, metav1.ListOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer w.Stop()
	ready := false
	for b.Loop() {
		ready = !ready
		update(b, c, pod, "status", func(p *corev1.Pod) {
			p.Status.Phase = corev1.PodRunning
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionFalse}}
			if ready {
				p.Status.Conditions[0].Status = corev1.ConditionTrue
			}
		})
		for e := range w.Events() {
			if e.Object != nil && e.Object.Name == "fleet-0" && (k.ready(e.Object.Obj) == 1) == ready {
				break
			}
		}
	}
}
