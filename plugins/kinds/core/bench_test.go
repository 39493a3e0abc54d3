package core_test

import (
	"encoding/json"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	kernel "github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kindtest"
)

// benchPod is what a Deployment's controller makes: about 2 KB.
func benchPod(t testing.TB) *corev1.Pod {
	t.Helper()
	env := []corev1.EnvVar{{Name: "LOG_LEVEL", Value: "info"}, {Name: "POD_NAME", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}}}
	resources := corev1.ResourceRequirements{
		Requests: corev1.ResourceList{"cpu": resource.MustParse("100m"), "memory": resource.MustParse("128Mi")},
		Limits:   corev1.ResourceList{"memory": resource.MustParse("256Mi")},
	}
	yes := true
	p := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: "web-5d4f8c7b9d-x2v7q", GenerateName: "web-5d4f8c7b9d-", Namespace: "default", UID: "5ce0c2b2-9d2a-4f7b-a0b5-2d3b1f0f3c11",
			Labels:          map[string]string{"app": "web", "tier": "front", "pod-template-hash": "5d4f8c7b9d"},
			Annotations:     map[string]string{"prometheus.io/scrape": "true"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "web-5d4f8c7b9d", UID: "f2a3c6de-0f0e-4a65-9b25-38e2b5b0a001", Controller: &yes, BlockOwnerDeletion: &yes}},
		},
		Spec: corev1.PodSpec{
			ServiceAccountName: "default",
			Containers: []corev1.Container{
				{
					Name: "web", Image: "registry.example/web:1.2.3", Args: []string{"--port=8080"}, Env: env, Resources: resources,
					Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
					VolumeMounts:   []corev1.VolumeMount{{Name: "data", MountPath: "/data"}, {Name: "token", MountPath: "/var/run/secrets/kubernetes.io/serviceaccount", ReadOnly: true}},
					ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/ready", Port: fromString("http")}}},
				},
				{Name: "proxy", Image: "registry.example/proxy:4.5", Env: env, Resources: resources},
			},
			Volumes: []corev1.Volume{
				{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}},
				{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
					{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}},
					{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: corev1.LocalObjectReference{Name: "kube-root-ca.crt"}, Items: []corev1.KeyToPath{{Key: "ca.crt", Path: "ca.crt"}}}},
				}}}},
			},
			Tolerations: []corev1.Toleration{{Key: "node.kubernetes.io/not-ready", Operator: "Exists", Effect: "NoExecute"}},
		},
	}
	kindtest.Table(t).Scheme.Default(p)
	return p
}

func BenchmarkPod(b *testing.B) {
	d := kindtest.Definition(b, "pods")
	c := kernel.NewCodec(kernel.NewCatalog(kindtest.Table(b)))
	pod := benchPod(b)
	d.Strategy.PrepareForCreate(b.Context(), pod)
	if errs := d.Strategy.Validate(b.Context(), pod); len(errs) > 0 {
		b.Fatal(errs)
	}
	value, err := c.EncodeStorage(d, pod)
	if err != nil {
		b.Fatal(err)
	}
	body, err := json.Marshal(pod)
	if err != nil {
		b.Fatal(err)
	}
	bound := pod.DeepCopy()
	bound.Status.Phase = corev1.PodRunning
	run := func(name string, size int, fn func()) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				fn()
			}
		})
	}
	gv := corev1.SchemeGroupVersion
	run("Decode", len(value), func() { _, _ = c.Decode(d, value, 1) })
	run("EncodeStorage", len(value), func() { _, _ = c.EncodeStorage(d, pod) })
	run("EncodeJSON", len(body), func() { _, _ = c.Encode(pod, gv, kernel.JSON) })
	run("EncodeProtobuf", len(value), func() { _, _ = c.Encode(pod, gv, kernel.Protobuf) })
	run("DecodeRequestJSON", len(body), func() { _, _, _, _ = c.DecodeRequest(body, kernel.JSON, nil, true) })
	run("DecodeRequestProtobuf", len(value), func() { _, _, _, _ = c.DecodeRequest(value, kernel.Protobuf, nil, true) })
	run("DeepCopy", len(value), func() { _ = pod.DeepCopy() })
	run("PrepareForCreate", len(value), func() { d.Strategy.PrepareForCreate(b.Context(), pod) })
	run("Validate", len(value), func() { _ = d.Strategy.Validate(b.Context(), pod) })
	run("Warnings", len(value), func() { _ = d.Strategy.Warnings(b.Context(), pod, nil) })
	run("StatusUpdate", len(value), func() {
		s := d.Subresource("status")
		n := *bound
		s.PrepareForUpdate(b.Context(), &n, pod)
		_ = s.ValidateUpdate(b.Context(), &n, pod)
	})
	run("Default", len(value), func() { kindtest.Table(b).Scheme.Default(pod) })
}
