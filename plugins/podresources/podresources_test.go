package podresources

import (
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

func TestTotal(t *testing.T) {
	cpu := func(s string) corev1.ResourceList {
		return corev1.ResourceList{corev1.ResourceCPU: parse(s)}
	}
	for _, tc := range []struct {
		name       string
		containers []corev1.ResourceList
		inits      []Init
		want       string
	}{
		{"containers run together", []corev1.ResourceList{cpu("1"), cpu("500m"), nil}, nil, "1500m"},
		{"an init container that needs less", []corev1.ResourceList{cpu("2")}, []Init{{cpu("1"), false}, {cpu("1500m"), false}}, "2"},
		{"an init container that needs more", []corev1.ResourceList{cpu("1")}, []Init{{cpu("3"), false}}, "3"},
		{"a sidecar goes on", []corev1.ResourceList{cpu("1")}, []Init{{cpu("2"), true}}, "3"},
		{"an init container beside the sidecars before it", []corev1.ResourceList{cpu("1")}, []Init{{cpu("1"), true}, {cpu("4"), false}, {cpu("1"), true}}, "5"},
		{"an init container before the sidecars", []corev1.ResourceList{cpu("1")}, []Init{{cpu("4"), false}, {cpu("1"), true}}, "4"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := Total(tc.containers, tc.inits)[corev1.ResourceCPU]
			if want := parse(tc.want); got.Cmp(want) != 0 {
				t.Errorf("%v, want %s", got, tc.want)
			}
		})
	}
	mine := cpu("1")
	Total([]corev1.ResourceList{mine}, nil)[corev1.ResourceCPU] = parse("9")
	if got, want := mine[corev1.ResourceCPU], parse("1"); got.Cmp(want) != 0 {
		t.Error("the sum is the argument")
	}
}

func parse(s string) resource.Quantity {
	q, err := resource.ParseQuantity(s)
	if err != nil {
		panic(err)
	}
	return q
}
