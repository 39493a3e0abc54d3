package atomicfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

type replace = func(string, []byte, os.FileMode) error

// ways are the two: they differ in what a power loss leaves.
var ways = map[string]replace{"Write": atomicfile.Write, "Replace": atomicfile.Replace}

// TestWriteIsWhole: a reader beside the writer sees one content or the other, and
// nothing is left in the directory but the file.
func TestWriteIsWhole(t *testing.T) {
	for name, f := range ways {
		t.Run(name, func(t *testing.T) { isWhole(t, f) })
	}
}

func isWhole(t *testing.T, replace replace) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	contents := [][]byte{bytes.Repeat([]byte("a"), 1<<16), bytes.Repeat([]byte("b"), 1<<10)}
	write := func(i int) {
		if err := replace(path, contents[i%2], 0o640); err != nil {
			t.Error(err)
		}
	}
	write(0)
	var writer sync.WaitGroup
	writer.Go(func() {
		for i := range 50 {
			write(i)
		}
	})
	for range 200 {
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, contents[0]) && !bytes.Equal(got, contents[1]) {
			t.Fatalf("read %d bytes that are neither content", len(got))
		}
	}
	writer.Wait()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 1 {
		t.Errorf("%d files are left, want one", len(files))
	}
}

// TestWriteSetsPermissions: they are the ones that are asked for, also where a
// file was more open before, or the umask would take some.
func TestWriteSetsPermissions(t *testing.T) {
	for name, f := range ways {
		t.Run(name, func(t *testing.T) { setsPermissions(t, f) })
	}
}

func setsPermissions(t *testing.T, replace replace) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	for _, want := range []os.FileMode{0o600, 0o777} {
		if err := replace(path, []byte("x"), want); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != want {
			t.Errorf("mode %o, want %o", got, want)
		}
	}
}

func TestWriteLeavesTheOldFileAfterAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "none", "f")
	if err := atomicfile.Write(path, []byte("x"), 0o600); err == nil {
		t.Error("wrote into a directory that is not there")
	}
}

func TestRemnant(t *testing.T) {
	for name, want := range map[string]string{".node.json1234": "node.json", "node.json": "", ".node.json": "", ".1": "", "": "", "node.json1": ""} {
		if of, ok := atomicfile.Remnant(name); of != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", name, of, ok, want)
		}
	}
}
