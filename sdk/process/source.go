//go:build unix

package process

import (
	"embed"

	"github.com/pintle-io/pintle/sdk"
)

//go:embed go.mod go.sum *.go
var source embed.FS

// WriteSource writes the source of this module to a folder, the folder process
// below that of [sdk.WriteSource].
func WriteSource(dir string) error { return sdk.WriteFiles(source, dir) }

// Module is the text of this module's go.mod and go.sum.
func Module() (mod, sum string) {
	m, _ := source.ReadFile("go.mod") // embedded
	s, _ := source.ReadFile("go.sum")
	return string(m), string(s)
}
