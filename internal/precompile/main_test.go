package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

// abi is the smallest module that the host compiles: it exports pintle_abi.
func abi(version byte) []byte {
	return []byte("\x00asm\x01\x00\x00\x00" + "\x01\x05\x01\x60\x00\x01\x7f" + "\x03\x02\x01\x00" + "\x07\x0e\x01\x0apintle_abi\x00\x00" +
		"\x0a\x06\x01\x04\x00\x41" + string([]byte{version}) + "\x0b")
}

// TestRun: an archive holds what its modules need and nothing else, and is
// left alone while it does.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	out, a, b := filepath.Join(dir, "out.zip"), filepath.Join(dir, "a.wasm"), filepath.Join(dir, "b.wasm")
	write := func(path string, version byte) {
		t.Helper()
		if err := os.WriteFile(path, abi(version), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(a, 1)
	write(b, 2)
	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, c := range []struct {
		name   string
		before func()
		same   bool
	}{
		{"first", func() {}, false},
		{"nothing changed", func() {}, true},
		{"one module changed", func() { write(b, 3) }, false},
		{"damaged", func() {
			if err := os.Truncate(out, 40); err != nil {
				t.Fatal(err)
			}
		}, false},
	} {
		c.before()
		if c.name != "first" {
			if err := os.Chtimes(out, long, long); err != nil {
				t.Fatal(err)
			}
		}
		if err := run(t.Context(), out, []string{a, b}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		st, err := os.Stat(out)
		if err != nil {
			t.Fatal(err)
		}
		if same := st.ModTime().Equal(long); same != c.same {
			t.Errorf("%s: left alone: %v, want %v", c.name, same, c.same)
		}
		if n := held(t, out); n != 2 {
			t.Errorf("%s: %d files, want 2", c.name, n)
		}
	}
}

// held counts the files of an archive as a host would get them.
func held(t *testing.T, archive string) int {
	t.Helper()
	z, err := zip.OpenReader(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	dir := t.TempDir()
	if err := wasm.Seed(dir, z); err != nil {
		t.Fatal(err)
	}
	list, err := files(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestRunRefuses(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.zip")
	for _, modules := range [][]string{nil, {filepath.Join(t.TempDir(), "absent.wasm")}} {
		if err := run(t.Context(), out, modules); err == nil {
			t.Errorf("%q: no error", modules)
		}
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an archive was written")
	}
}
