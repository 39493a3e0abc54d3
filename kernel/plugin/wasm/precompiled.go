package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// Precompile compiles modules for this system into the folder dir. Its files
// can be embedded in a binary and given to Seed, so that what ships need not
// be compiled where it runs.
func Precompile(ctx context.Context, dir string, modules ...[]byte) error {
	h, err := New(ctx, Config{CacheDir: dir})
	if err != nil {
		return err
	}
	for _, b := range modules {
		if err = h.Compile(ctx, plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}); err != nil {
			break
		}
	}
	return errors.Join(err, h.Close(ctx))
}

// Seed copies compiled modules, as Precompile leaves them, into a host's cache
// folder before the host is made. Files for another engine, version or
// system do no harm: they are not looked at. Files that are there are kept,
// unless they are of another size: a loss of power may leave an empty one.
func Seed(dir string, compiled fs.FS) error {
	return fs.WalkDir(compiled, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return fmt.Errorf("compiled modules: %w", err)
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		info, err := d.Info()
		if err != nil {
			return fmt.Errorf("compiled modules: %w", err)
		}
		if st, err := os.Stat(to); err == nil && st.Size() == info.Size() {
			return nil
		}
		b, err := fs.ReadFile(compiled, path)
		if err != nil {
			return fmt.Errorf("compiled modules: %w", err)
		}
		// A process that is killed here must not leave half a file; after a power
		// loss, the size or the module's checksum tells, and it is compiled.
		if err := os.WriteFile(to+".new", b, 0o600); err != nil {
			return err
		}
		return os.Rename(to+".new", to)
	})
}
