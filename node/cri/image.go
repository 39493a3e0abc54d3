package cri

import (
	"context"
	"time"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Image is an image that the runtime has.
type Image struct {
	ID      string
	Tags    []string
	Digests []string
	Size    uint64
	// UID is the numeric user of the image, nil when it has none or a name.
	UID *int64
	// User is the named user of the image.
	User   string
	Pinned bool
}

func image(i *runtimeapi.Image) *Image {
	out := &Image{ID: i.Id, Tags: i.RepoTags, Digests: i.RepoDigests, Size: i.Size, User: i.Username, Pinned: i.Pinned}
	if i.Uid != nil {
		out.UID = &i.Uid.Value
	}
	return out
}

// Images are those that a runtime has: CRI's image service.
type Images struct{ service runtimeapi.ImageServiceClient }

// Get finds an image by reference or id; nil when the runtime lacks it.
func (i *Images) Get(ctx context.Context, ref string) (*Image, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := i.service.ImageStatus(ctx, &runtimeapi.ImageStatusRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	if err != nil {
		return nil, wrap("image status", err)
	}
	if r.Image == nil || r.Image.Id == "" {
		return nil, nil
	}
	return image(r.Image), nil
}

// List lists all images.
func (i *Images) List(ctx context.Context) ([]*Image, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := i.service.ListImages(ctx, &runtimeapi.ListImagesRequest{})
	if err != nil {
		return nil, wrap("list images", err)
	}
	out := make([]*Image, len(r.Images))
	for n := range r.Images {
		out[n] = image(r.Images[n])
	}
	return out, nil
}

// Auth is a login to a registry. It is never logged.
type Auth = runtimeapi.AuthConfig

// Pull fetches an image; auth may be nil. It takes as long as ctx allows.
// The result names the image for CreateContainer.
func (i *Images) Pull(ctx context.Context, ref string, auth *Auth, pod *runtimeapi.PodSandboxConfig) (string, error) {
	r, err := i.service.PullImage(ctx, &runtimeapi.PullImageRequest{
		Image: &runtimeapi.ImageSpec{Image: ref, UserSpecifiedImage: ref}, Auth: auth, SandboxConfig: pod})
	return r.GetImageRef(), wrap("pull image", err)
}

// Remove removes an image under all of its names.
func (i *Images) Remove(ctx context.Context, ref string) error {
	ctx, cancel := context.WithTimeout(ctx, createTimeout)
	defer cancel()
	_, err := i.service.RemoveImage(ctx, &runtimeapi.RemoveImageRequest{Image: &runtimeapi.ImageSpec{Image: ref}})
	return ignoreNotFound("remove image", err)
}

// ImageFS is where images are stored.
type ImageFS struct {
	Mountpoint   string
	Used, Inodes uint64
	At           time.Time
}

// FS tells where the runtime stores images and how much they take.
func (i *Images) FS(ctx context.Context) (ImageFS, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := i.service.ImageFsInfo(ctx, &runtimeapi.ImageFsInfoRequest{})
	if err != nil {
		return ImageFS{}, wrap("image file system", err)
	}
	var out ImageFS
	for _, f := range r.ImageFilesystems {
		if out.Mountpoint == "" {
			out.Mountpoint = f.GetFsId().GetMountpoint()
			out.At = time.Unix(0, f.Timestamp)
		}
		out.Used += f.GetUsedBytes().GetValue()
		out.Inodes += f.GetInodesUsed().GetValue()
	}
	return out, nil
}
