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
//go:embed go.mod go.sum *.go admission api client controller internal process scheduling sdktest serve wire
var source embed.FS

// WriteSource writes the source of this module, without its tests, to a
// folder, to which the go.mod of a plugin can point with replace.
func WriteSource(dir string) error {
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
		b, err := source.ReadFile(path)
		if err != nil {
			return fmt.Errorf("sdk source: %w", err)
		}
		return os.WriteFile(to, b, 0o644)
	})
}

// SourceModule is the text of this module's go.mod and go.sum.
func SourceModule() (mod, sum string, err error) {
	m, err := source.ReadFile("go.mod")
	if err != nil {
		return "", "", fmt.Errorf("sdk source: %w", err)
	}
	s, err := source.ReadFile("go.sum")
	return string(m), string(s), err
}
