package admit_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

func benchPod() *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "web-5d8c7b9f4d-x2x7z", Namespace: "default", UID: "0f3e",
		Labels: map[string]string{"app": "web", "pod-template-hash": "5d8c7b9f4d", "app.kubernetes.io/name": "web", "tier": "front"}}}
	for i := range 3 {
		p.Spec.Containers = append(p.Spec.Containers, corev1.Container{Name: fmt.Sprint("c", i), Image: "registry.example.com/web:1.2.3",
			Env:            []corev1.EnvVar{{Name: "A", Value: "b"}, {Name: "C", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "status.podIP"}}}},
			Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 8080}},
			Resources:      corev1.ResourceRequirements{Requests: corev1.ResourceList{"cpu": resource.MustParse("250m"), "memory": resource.MustParse("128Mi")}},
			ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{Exec: &corev1.ExecAction{Command: []string{"true"}}}, PeriodSeconds: 5},
		})
	}
	return p
}

// BenchmarkValidate is one pod through 1 and 16 policies that read every
// container.
func BenchmarkValidate(b *testing.B) {
	out := filepath.Join(b.TempDir(), "suite.wasm")
	cmd := exec.CommandContext(b.Context(), "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "../hosttest/suite/cmd/suite")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, text)
	}
	module, err := os.ReadFile(out)
	if err != nil {
		b.Fatal(err)
	}
	w, err := wasm.New(b.Context(), wasm.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = w.Close(context.Background()) })
	hosts := map[string]plugin.Host{"native": native.Host{}, "wasm": w}
	for _, host := range []string{"native", "wasm"} {
		for _, policies := range []int{1, 16} {
			b.Run(fmt.Sprintf("%s/%d", host, policies), func(b *testing.B) {
				chain := &admission.Chain{}
				sink := admit.New(admit.Config{Chain: chain})
				p, err := plugin.Load(b.Context(), plugin.PluginConfig{Name: "suite", Host: hosts[host],
					Module: plugin.Module{Digest: v1alpha1.DigestOf(module), Bytes: module}, Options: plugin.OpenOptions{Name: "suite"}})
				if err != nil {
					b.Fatal(err)
				}
				for i := range policies {
					if err := sink.Set(b.Context(), fmt.Sprint("p", i), p); err != nil {
						b.Fatal(err)
					}
				}
				pod := benchPod()
				for b.Loop() {
					a := &admission.Attributes{Operation: admission.Create, Resource: corev1.SchemeGroupVersion.WithResource("pods"),
						Kind: corev1.SchemeGroupVersion.WithKind("Pod"), Namespace: "default", Name: "web", Object: pod}
					if err := chain.Validate(b.Context(), a); err != nil {
						b.Fatal(err)
					}
				}
				for i := range policies {
					sink.Remove(fmt.Sprint("p", i))
				}
			})
		}
	}
}
