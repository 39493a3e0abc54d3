//go:build !wasip1

package sdk

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// source is this module, so that a plugin can be built where there is no
// network (see WriteSource).
//
//go:embed go.mod *.go admission api client controller conversion internal scheduling sdktest serve wire
var source embed.FS

// WriteSource writes the source of this module, without its tests, to a
// folder, to which the go.mod of a plugin can point with replace.
func WriteSource(dir string) error { return WriteFiles(source, dir) }

// WriteFiles is [WriteSource] for the files of another module.
func WriteFiles(source fs.FS, dir string) error {
	return fs.WalkDir(source, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(to, 0o755)
		}
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		b, err := fs.ReadFile(source, path)
		if err != nil {
			return fmt.Errorf("sdk source: %w", err)
		}
		return os.WriteFile(to, b, 0o644)
	})
}
