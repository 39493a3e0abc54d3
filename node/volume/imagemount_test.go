package volume_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"
	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// An image is left to the runtime: whole or a part of it, always read-only.
func TestImageMount(t *testing.T) {
	w := newWorld(t)
	p := pod(vol("img", corev1.VolumeSource{Image: &corev1.ImageVolumeSource{Reference: "data:v1"}}))
	w.prepare(p)
	c := &corev1.Container{Name: "c", VolumeMounts: []corev1.VolumeMount{
		{Name: "img", MountPath: "/whole"}, {Name: "img", MountPath: "part", SubPath: "etc"}, {Name: "img", MountPath: "/etc/hosts", SubPath: "hosts"}}}
	got, err := w.m.Mounts(t.Context(), p, c, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	spec := func() *runtimeapi.ImageSpec {
		return &runtimeapi.ImageSpec{Image: "data:v1", UserSpecifiedImage: "data:v1"}
	}
	want := []*runtimeapi.Mount{
		{ContainerPath: "/whole", Readonly: true, Image: spec()},
		{ContainerPath: "/part", Readonly: true, Image: spec(), ImageSubPath: "etc"},
		{ContainerPath: "/etc/hosts", Readonly: true, Image: spec(), ImageSubPath: "hosts"},
	}
	if diff := cmp.Diff(want, got, protocmp.Transform()); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}
