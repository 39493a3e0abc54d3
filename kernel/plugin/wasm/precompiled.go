package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

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
		// loss, the size or the file's checksum tells (emptyCache).
		if err := os.WriteFile(to+".new", b, 0o600); err != nil {
			return err
		}
		return os.Rename(to+".new", to)
	})
}

// emptyCache removes what is cached on the disk if err says that it is damaged,
// and reports whether it did: the engine refuses such a file for ever, and the
// module can be compiled again.
func (h *Host) emptyCache(err error) bool {
	if h.dir == "" || !strings.Contains(err.Error(), "compilationcache:") {
		return false
	}
	h.log.Warn("the cache of compiled modules is damaged and is made anew", "dir", h.dir, "error", err)
	emptied := filepath.WalkDir(h.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // another module found it, too
			return err
		}
		return nil
	})
	if emptied != nil {
		h.log.Warn("the cache of compiled modules cannot be emptied", "dir", h.dir, "error", emptied)
	}
	return emptied == nil
}
