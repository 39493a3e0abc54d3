// Package local makes persistent volumes that are a directory of this node.
package local

import (
	"context"
	"fmt"
	"os"

	"github.com/pintle-io/pintle/node/volume/driver"
)

// Driver makes local persistent volumes.
type Driver struct{}

// Name is the kind's name.
func (Driver) Name() string { return "local" }

// Supports reports whether a volume is a local persistent one.
func (Driver) Supports(s driver.Spec) bool {
	return s.Persistent != nil && s.Persistent.Spec.Local != nil
}

// Setup finds the directory, which somebody else has made.
func (Driver) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	path := r.Persistent.Spec.Local.Path
	if _, err := os.Stat(path); err != nil {
		return driver.Mount{}, fmt.Errorf("local volume %s: %w", r.Persistent.Name, err)
	}
	return driver.Mount{Path: path}, nil
}

var _ driver.Driver = Driver{}
