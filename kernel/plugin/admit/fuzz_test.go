package admit

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/sdk/wire"
)

// FuzzApply: whatever a policy wants to change, the object is changed or an
// error says why not.
func FuzzApply(f *testing.F) {
	f.Add("metadata.labels[a/b]", `"x"`, false)
	f.Add("spec.containers[1].env", `[{"name":"a"}]`, false)
	f.Add("spec.containers[0]", ``, true)
	f.Add("spec.volumes[0].emptyDir.sizeLimit", `"1Gi"`, false)
	f.Add("spec"+strings.Repeat("[0]", 100), `1`, false)
	f.Fuzz(func(t *testing.T, path, value string, remove bool) {
		if len(path) > 4<<10 {
			return // refused at the border
		}
		patch := []wire.PatchOp{{Path: path, Value: []byte(value), Remove: remove}}
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a", Labels: map[string]string{"k": "v"}},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c"}}}}
		for _, obj := range []runtime.Object{pod, &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"list": []any{"x"}}}}} {
			if out, err := apply(obj, patch); err == nil && out == nil {
				t.Fatal("neither an object nor an error")
			}
		}
	})
}
