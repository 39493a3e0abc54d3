package executor

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/image"
)

// Images sees to it that images are on the node.
type Images struct {
	Puller *image.Puller
	// Mounts is whether the runtime can mount images as volumes.
	Mounts cri.ImageMounts
	Events Events
}

// ensure has the image of a container pulled if it must be, and tells the
// events of that.
func (i *Images) ensure(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (*cri.Image, *Failure) {
	img, err := i.Puller.Ensure(ctx, pod, c, image.Reporter{
		Pulling: func() {
			i.Events.Tell(pod, c.Name, corev1.EventTypeNormal, "Pulling", fmt.Sprintf("Pulling image %q", c.Image))
		},
		Pulled: func(took time.Duration, size uint64) {
			text := fmt.Sprintf("Container image %q already present on machine", c.Image)
			if took > 0 {
				text = fmt.Sprintf("Successfully pulled image %q in %s. Image size: %d bytes.", c.Image, took.Round(time.Millisecond), size)
			}
			i.Events.Tell(pod, c.Name, corev1.EventTypeNormal, "Pulled", text)
		},
	})
	if err == nil {
		return img, nil
	}
	var e *image.Error
	if !errors.As(err, &e) {
		return nil, &Failure{Reason: image.ErrImagePull, Err: err}
	}
	if ctx.Err() != nil {
		return nil, &Failure{Reason: e.Reason, Err: context.Canceled}
	}
	if e.Reason != image.ImagePullBackOff {
		i.Events.Tell(pod, c.Name, corev1.EventTypeWarning, "Failed", e.Error())
		i.Events.Tell(pod, c.Name, corev1.EventTypeWarning, "Failed", "Error: "+e.Reason)
	}
	return nil, &Failure{Reason: e.Reason, Err: e.Err, Until: e.Retry}
}

// volumes sees to it that the images that a container mounts are on the
// node, and returns what the runtime calls each, by volume. They are pulled as
// the container's own image is, with its reasons and events.
func (i *Images) volumes(ctx context.Context, pod *corev1.Pod, c *corev1.Container) (map[string]string, *Failure) {
	var ids map[string]string
	for _, m := range c.VolumeMounts {
		src := imageSource(pod, m.Name)
		if src == nil {
			continue
		}
		if err := i.Mounts.Check(m.SubPath + m.SubPathExpr); err != nil {
			return nil, callFailed(ctx, i.Events, pod, c, createError, err)
		}
		img, fail := i.ensure(ctx, pod, &corev1.Container{Name: c.Name, Image: src.Reference, ImagePullPolicy: src.PullPolicy})
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
