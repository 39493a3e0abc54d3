// Package payload holds what the pintle binary carries along: the standard
// plugins as WASM modules, the pause and demo programs from which images are
// made, and the CNI executable. `make build` puts them into files/; a binary
// built without it lacks them and says so.
package payload

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
)

//go:embed files
var files embed.FS

// Names of the parts.
const (
	Scheduling  = "scheduling.wasm"  // every built-in filter and score
	Controllers = "controllers.wasm" // every built-in controller
	Admission   = "admission.wasm"   // every built-in admission rule
	Pause       = "pause"            // the sandbox image's program
	Demo        = "demo"             // the demo image's program
	CNI         = "pintle-cni"       // the node's CNI executable
)

// ErrMissing: this binary was built without its payload.
var ErrMissing = errors.New("this pintle was built without its payload: run `make build`")

// Read returns a part. The caller must not modify it.
//
// # Errors
//   - ErrMissing
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile("files/" + name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", name, ErrMissing)
	}
	return b, err
}

// Cache returns the compiled forms of the WASM parts, as the wasm host keeps
// them on disk: file names below a cache directory and their contents. It is
// empty when the build made none; modules are then compiled at first start.
func Cache() (fs.FS, error) { return fs.Sub(files, "files") }
