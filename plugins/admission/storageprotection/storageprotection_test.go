package storageprotection_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	_ "github.com/pintle-io/pintle/plugins/admission/storageprotection"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/sdktest"
)

func TestMutate(t *testing.T) {
	type m = map[string]any
	for _, tc := range []struct {
		name, resource string
		finalizers     []any
		want           []string
	}{
		{"claim", "v1/persistentvolumeclaims", nil, []string{`metadata.finalizers[0] "kubernetes.io/pvc-protection"`}},
		{"volume", "v1/persistentvolumes", nil, []string{`metadata.finalizers[0] "kubernetes.io/pv-protection"`}},
		{"class", "storage.k8s.io/v1/volumeattributesclasses", nil, []string{`metadata.finalizers[0] "kubernetes.io/vac-protection"`}},
		{"behind others", "v1/persistentvolumes", []any{"a/b"}, []string{`metadata.finalizers[1] "kubernetes.io/pv-protection"`}},
		{"there", "v1/persistentvolumeclaims", []any{"kubernetes.io/pvc-protection"}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			v := sdktest.Mutate(t, sdktest.Open[*admission.Points](t, "storage-protection", ""), sdktest.Request{Resource: tc.resource, Object: m{"metadata": m{"finalizers": tc.finalizers}}})
			var got []string
			for _, p := range v.Patch {
				got = append(got, p.Path+" "+string(p.Value))
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("patch (-want +got):\n%s", diff)
			}
		})
	}
}
