// Package image is the kind of volumes that are images. The runtime mounts
// them, read-only, when it makes a container; there is nothing of them on the
// node before.
package image

import (
	"context"

	"github.com/pintle-io/pintle/node/volume/driver"
)

// Driver leaves images to the runtime.
type Driver struct{}

// Name is the kind's name.
func (Driver) Name() string { return "image" }

// Supports reports whether a volume is an image.
func (Driver) Supports(s driver.Spec) bool { return s.Persistent == nil && s.Volume.Image != nil }

// Setup names the image as the pod does.
func (Driver) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	return driver.Mount{Image: r.Volume.Image.Reference, ReadOnly: true}, nil
}

var _ driver.Driver = Driver{}
