package resource_test

import (
	"strings"
	"testing"

	clientscheme "k8s.io/client-go/kubernetes/scheme"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/kernel/resource"
)

// BenchmarkCheckQuantities is what a pod of 2 KB costs before it is decoded. Every
// third UID looks like a quantity somewhere ("…4e1234…").
func BenchmarkCheckQuantities(b *testing.B) {
	kind := corev1.SchemeGroupVersion.WithKind("Pod")
	pod := `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","labels":{"controller-uid":"UID"}},"spec":{"containers":[{"name":"c","image":"i","env":[` +
		strings.TrimSuffix(strings.Repeat(`{"name":"NAME","value":"some text of a container"},`, 40), ",") + `]}]}}`
	for name, uid := range map[string]string{"plain": "5f1c0f0a-93ac-44a2-bf6a-0d6f5b1c2a3d", "suspicious": "5f1c0f0a-4e12-44a2-bf6a-14e1234c2a3d"} {
		body := []byte(strings.Replace(pod, "UID", uid, 1))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := resource.CheckQuantities(clientscheme.Scheme, body, resource.JSON, &kind); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
