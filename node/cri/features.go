package cri

import (
	"context"

	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// Features are what not every runtime can do. One that does not say so, as
// containerd 1.6, cannot.
type Features struct {
	// Handlers by name; "" is the default one.
	Handlers map[string]Handler
	// StrictGroups: a container can be kept out of the groups that its image
	// lists for the user.
	StrictGroups bool
	ImageMounts  ImageMounts
}

// Handler is what a runtime handler can do.
type Handler struct {
	// RecursiveReadOnly: what is mounted below a read-only mount can be made
	// read-only too.
	RecursiveReadOnly bool
	// UserNamespaces: a pod can have users of its own.
	UserNamespaces bool
}

// Features asks the runtime what it can do.
func (c *Client) Features(ctx context.Context) (Features, error) {
	ctx, cancel := context.WithTimeout(ctx, shortTimeout)
	defer cancel()
	r, err := c.runtime.Status(ctx, &runtimeapi.StatusRequest{})
	if err != nil {
		return Features{}, wrap("runtime status", err)
	}
	v, err := c.runtime.Version(ctx, &runtimeapi.VersionRequest{})
	if err != nil {
		return Features{}, wrap("runtime version", err)
	}
	out := Features{ImageMounts: imageMounts(v.RuntimeName, v.RuntimeVersion), Handlers: map[string]Handler{}, StrictGroups: r.GetFeatures().GetSupplementalGroupsPolicy()}
	for _, h := range r.GetRuntimeHandlers() {
		out.Handlers[h.GetName()] = Handler{h.GetFeatures().GetRecursiveReadOnlyMounts(), h.GetFeatures().GetUserNamespaces()}
	}
	return out, nil
}
