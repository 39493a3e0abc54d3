package volume

import (
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/podspec"
)

// imageMount is the mount of an image, named as the pod names it. The runtime
// makes it, read-only; there is nothing of it on the node before.
func imageMount(v *corev1.Volume, vm *corev1.VolumeMount, env *podspec.Env) (*runtimeapi.Mount, error) {
	sub := vm.SubPath
	if vm.SubPathExpr != "" {
		var err error
		if sub, err = expandPath(vm.SubPathExpr, env); err != nil {
			return nil, err
		}
	}
	at := vm.MountPath
	if !filepath.IsAbs(at) {
		at = "/" + at
	}
	ref := v.Image.Reference
	return &runtimeapi.Mount{ContainerPath: at, Readonly: true, ImageSubPath: sub,
		Image: &runtimeapi.ImageSpec{Image: ref, UserSpecifiedImage: ref}}, nil
}
