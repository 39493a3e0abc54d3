package wasm_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

// TestSeed: a host whose cache was seeded does not compile.
func TestSeed(t *testing.T) {
	m := hostileModule(t)
	made, seeded := t.TempDir(), t.TempDir()
	start := time.Now()
	if err := wasm.Precompile(t.Context(), made, m.Bytes); err != nil {
		t.Fatal(err)
	}
	compile := time.Since(start)
	for range 2 { // what is there is kept
		if err := wasm.Seed(seeded, os.DirFS(made)); err != nil {
			t.Fatal(err)
		}
	}
	truncate(t, seeded)
	if err := wasm.Seed(seeded, os.DirFS(made)); err != nil {
		t.Fatal(err)
	}
	before := files(t, seeded)
	h, err := wasm.New(t.Context(), wasm.Config{CacheDir: seeded})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	start = time.Now()
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	t.Logf("compile %s, open with a seeded cache %s", compile, time.Since(start))
	if after := files(t, seeded); after != before || before == 0 {
		t.Errorf("%d files in the cache before, %d after: the module was compiled again", before, after)
	}
}

// TestDamagedCache: a cached module that is not what was written, or only a part
// of it, is compiled again; the plugin does not fail for it.
func TestDamagedCache(t *testing.T) {
	m := hostileModule(t)
	for name, damage := range map[string]func(b []byte) []byte{
		"another content": func(b []byte) []byte { clear(b[len(b)/2:]); return b },
		"half a file":     func(b []byte) []byte { return b[:len(b)/2] },
		"an empty file":   func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := wasm.Precompile(t.Context(), dir, m.Bytes); err != nil {
				t.Fatal(err)
			}
			err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
				if err != nil || d.IsDir() {
					return err
				}
				b, err := os.ReadFile(path)
				if err != nil {
					return err
				}
				return os.WriteFile(path, damage(b), 0o600)
			})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // the cache is good again, too
				h, err := wasm.New(t.Context(), wasm.Config{CacheDir: dir})
				if err != nil {
					t.Fatal(err)
				}
				in, err := h.Open(t.Context(), m, plugin.OpenOptions{})
				if err != nil {
					t.Fatal(err)
				}
				in.Close()
				h.Close(t.Context())
			}
			if files(t, dir) == 0 {
				t.Error("nothing is cached")
			}
		})
	}
}

func files(t *testing.T, dir string) int {
	t.Helper()
	n := 0
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			n++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// truncate empties every file of dir.
func truncate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.Truncate(path, 0)
	})
	if err != nil {
		t.Fatal(err)
	}
}
