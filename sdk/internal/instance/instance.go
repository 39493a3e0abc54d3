// Package instance is what stands between the points of a plugin and the
// dispatcher of package wire/guest. It is internal so that nothing but the
// four kinds of points can be given to a host, and it knows none of them: a
// module links only the code of the points that its plugins serve.
package instance

import "github.com/pintle-io/pintle/sdk/wire"

// Host is what an instance knows of the kernel that opened it.
type Host struct {
	Plugin string // the name that the instance was opened by
	Call   wire.HostCall
}

// Instance serves the points of one opened plugin. It is used by one goroutine
// at a time.
type Instance interface {
	// Describe adds the points to the manifest.
	Describe(m *wire.Manifest)
	// Serves tells whether the instance answers the operation.
	Serves(op wire.Op) bool
	// Serve appends the answer to an operation that it serves to out. region is
	// the memory shared with the kernel, nil when there is none.
	Serve(out []byte, op wire.Op, req, region []byte) ([]byte, error)
	// Close is called before the instance is discarded in order, not after a
	// fault.
	Close()
}
