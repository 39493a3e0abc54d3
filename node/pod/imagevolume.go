package pod

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// imageVolumes sees to it that the images that a container mounts are on the
// node, and returns what the runtime calls each, by volume. They are pulled as
// the container's own image is, with its reasons and events.
func (k *worker) imageVolumes(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (map[string]string, *failure) {
	var ids map[string]string
	for _, m := range c.VolumeMounts {
		src := imageSource(pod, m.Name)
		if src == nil {
			continue
		}
		if err := k.ImageMounts.Check(m.SubPath + m.SubPathExpr); err != nil {
			return nil, k.callFailed(ctx, pod, c, createError, err)
		}
		img, fail := k.image(ctx, pod, &corev1.Container{Name: c.Name, Image: src.Reference, ImagePullPolicy: src.PullPolicy})
		if fail != nil {
			return nil, fail
		}
		if ids == nil {
			ids = map[string]string{}
		}
		ids[src.Reference] = img.ID
	}
	return ids, nil
}

func imageSource(pod *corev1.Pod, volume string) *corev1.ImageVolumeSource {
	for i := range pod.Spec.Volumes {
		if v := &pod.Spec.Volumes[i]; v.Name == volume {
			return v.Image
		}
	}
	return nil
}

// nameImages puts the runtime's names into mounts that name images as the pod
// does.
func nameImages(mounts []*runtimeapi.Mount, ids map[string]string) {
	for _, m := range mounts {
		if m.Image != nil {
			m.Image.Image = ids[m.Image.UserSpecifiedImage]
		}
	}
}
