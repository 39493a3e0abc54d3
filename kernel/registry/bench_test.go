package registry_test

import (
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/pintle-io/pintle/kernel/registry"
)

// benchPod is a pod as a ReplicaSet makes it: 2 KB stored.
func benchPod(name string) *corev1.Pod {
	yes, uid := true, types.UID("0f7a3a3e-6f5f-4a3c-9f0c-0f7a3a3e6f5f")
	requests := corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("64Mi")}
	probe := &corev1.Probe{PeriodSeconds: 10, TimeoutSeconds: 1, SuccessThreshold: 1, FailureThreshold: 3,
		ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/healthz", Port: intstr.FromString("http"), Scheme: "HTTP"}}}
	p := pod(name)
	p.GenerateName = "web-7c5ddbdf54-"
	p.Labels = map[string]string{"app": "web", "pod-template-hash": "7c5ddbdf54"}
	p.Annotations = map[string]string{"example.com/checksum": "8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-7c5ddbdf54", UID: uid, Controller: &yes, BlockOwnerDeletion: &yes}}
	c := &p.Spec.Containers[0]
	c.Resources = corev1.ResourceRequirements{Requests: requests, Limits: requests}
	c.LivenessProbe, c.ReadinessProbe = probe, probe.DeepCopy()
	c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy = "/dev/termination-log", "File", "IfNotPresent"
	c.VolumeMounts = []corev1.VolumeMount{{Name: "kube-api-access", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}}
	p.Spec.Volumes = []corev1.Volume{{Name: "kube-api-access", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
		Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}}}
	p.Spec.Tolerations = []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}}
	p.Spec.DNSPolicy, p.Spec.SchedulerName, p.Spec.ServiceAccountName = "ClusterFirst", "default-scheduler", "default"
	return p
}

func BenchmarkCreate(b *testing.B) {
	c := newCluster(b)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := c.Create(b.Context(), at(podsR, ""), benchPod(fmt.Sprintf("p-%d", i)), registry.WriteOptions{FieldManager: "rs"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBatch is the way of 5,000 pods: create in batches of 500, then bind.
func BenchmarkBatch(b *testing.B) {
	const n = 500
	for _, verb := range []string{"create", "bind"} {
		b.Run(verb, func(b *testing.B) {
			c := newCluster(b)
			b.ReportAllocs()
			for round := 0; b.Loop(); round++ {
				b.StopTimer()
				creates, binds := make([]registry.BatchItem, n), make([]registry.BatchItem, n)
				for i := range n {
					name := fmt.Sprintf("p-%d-%d", round, i)
					creates[i] = registry.BatchItem{Verb: "create", Target: at(podsR, ""), Object: benchPod(name), Options: registry.WriteOptions{FieldManager: "rs"}}
					binds[i] = bindItem(name)
				}
				if verb == "create" {
					b.StartTimer()
					mustBatch(b, c, creates)
					continue
				}
				mustBatch(b, c, creates)
				b.StartTimer()
				mustBatch(b, c, binds)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/object")
		})
	}
}

func mustBatch(b *testing.B, c *cluster, items []registry.BatchItem) {
	b.Helper()
	results, err := c.Batch(b.Context(), items, false)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

func BenchmarkUpdate(b *testing.B) {
	for name, change := range map[string]func(*corev1.Pod, int){
		"label": func(p *corev1.Pod, i int) { p.Labels["n"] = fmt.Sprint(i) },
		"none":  func(*corev1.Pod, int) {},
	} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b)
			p := c.mustCreate(b, podsR, benchPod("p")).(*corev1.Pod).DeepCopy()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				change(p, i)
				res, err := c.Update(b.Context(), at(podsR, "p"), p, registry.WriteOptions{FieldManager: "rs"})
				if err != nil {
					b.Fatal(err)
				}
				p = res.Object.Obj.DeepCopyObject().(*corev1.Pod)
			}
		})
	}
}

func BenchmarkPatchStatus(b *testing.B) {
	for name, patch := range map[string]string{
		"same fields": `{"status":{"message":"n %d"}}`,
		"new fields":  `{"status":{"conditions":[{"type":"Ready","status":"True","message":"%d"}]}}`,
	} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(b)
			c.mustCreate(b, podsR, benchPod("p"))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				body := []byte(fmt.Sprintf(patch, i))
				if _, err := c.Patch(b.Context(), sub(podsR, "p", "status"), types.StrategicMergePatchType, body, registry.WriteOptions{FieldManager: "kubelet"}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGet(b *testing.B) {
	c := newCluster(b)
	c.mustCreate(b, podsR, benchPod("p"))
	for _, rv := range []string{"", "0"} {
		b.Run("rv="+rv, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Get(b.Context(), at(podsR, "p"), metav1.GetOptions{ResourceVersion: rv}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkList(b *testing.B) {
	c := newCluster(b)
	for i := range 20 {
		items := make([]registry.BatchItem, 500)
		for j := range items {
			items[j] = registry.BatchItem{Verb: "create", Target: at(podsR, ""), Object: benchPod(fmt.Sprintf("p-%d-%d", i, j))}
		}
		mustBatch(b, c, items)
	}
	for name, o := range map[string]metav1.ListOptions{
		"10000": {}, "page": {Limit: 500}, "label": {LabelSelector: "app=web"}, "node": {FieldSelector: "spec.nodeName=n"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.List(b.Context(), at(podsR, ""), o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
