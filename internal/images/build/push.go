package build

import (
	"context"
	"fmt"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
)

func parseTag(ref string) (name.Tag, error) {
	t, err := name.NewTag(ref, name.Insecure)
	if err != nil {
		return t, fmt.Errorf("image name %q: %w", ref, err)
	}
	return t, nil
}

// Destination is where an image of the given name is stored in the registry at
// addr ("host:port"): the name's own registry is replaced, its path kept. The
// runtime resolves any registry name to ours and asks for the same path, so
// "web:v1" and "docker.io/library/web:v1" are one image.
func Destination(addr, ref string) (name.Tag, error) {
	t, err := parseTag(ref)
	if err != nil {
		return t, err
	}
	return parseTag(addr + "/" + t.RepositoryStr() + ":" + t.TagStr())
}

// Push sends an image to the registry at addr, over HTTP, and returns its
// digest. token is what the registry takes for pushing; "" when it asks for
// none.
func Push(ctx context.Context, addr, ref string, img Named, token string) (string, error) {
	dst, err := Destination(addr, ref)
	if err != nil {
		return "", err
	}
	opts := []remote.Option{remote.WithContext(ctx)}
	if token != "" {
		opts = append(opts, remote.WithAuth(&authn.Bearer{Token: token}))
	}
	if img.Index != nil {
		if err := remote.WriteIndex(dst, img.Index, opts...); err != nil {
			return "", fmt.Errorf("push %s: %w", ref, err)
		}
		h, err := img.Index.Digest()
		return h.String(), err
	}
	if err := remote.Write(dst, img.Image, opts...); err != nil {
		return "", fmt.Errorf("push %s: %w", ref, err)
	}
	h, err := img.Image.Digest()
	return h.String(), err
}
