// Package payload holds what the pintle binary carries along: the standard
// plugins as a WASM module and its compiled form, the pause and demo programs
// from which images are made, and the CNI executable. `make build` puts them
// into files/; a binary built without it lacks them and says so.
package payload

import (
	"archive/zip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

//go:embed files
var files embed.FS

// Names of the parts.
const (
	Standard = "standard.wasm" // every built-in plugin
	Compiled = "compiled.zip"  // its compiled form; see Cache
	Pause    = "pause"         // the sandbox image's program
	Demo     = "demo"          // the demo image's program
	CNI      = "pintle-cni"    // the node's CNI executable
)

// ErrMissing: this binary was built without its payload.
var ErrMissing = errors.New("this pintle was built without its payload: run `make build`")

// Read returns a copy of a part. What only needs to be looked through is
// cheaper to Open.
//
// # Errors
//   - ErrMissing
func Read(name string) ([]byte, error) {
	b, err := files.ReadFile("files/" + name)
	return b, missing(name, err)
}

// Open opens a part where it lies in the binary.
//
// # Errors
//   - ErrMissing
func Open(name string) (fs.File, error) {
	f, err := files.Open("files/" + name)
	return f, missing(name, err)
}

func missing(name string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", name, ErrMissing)
	}
	return err
}

// Cache returns the compiled form of Standard, as the wasm host keeps it on
// disk: file names below a cache directory and their contents. It fits the
// system that this binary was built on; another one compiles the module.
//
// # Errors
//   - ErrMissing
//
// RATIONALE.md: "Why does what ships carry its compiled form?"
func Cache() (fs.FS, error) {
	f, err := Open(Compiled)
	if err != nil {
		return nil, err
	}
	at, ok := f.(io.ReaderAt)
	st, err := f.Stat()
	if !ok || err != nil {
		return nil, errors.Join(fmt.Errorf("%s cannot be read", Compiled), err)
	}
	return zip.NewReader(at, st.Size())
}
