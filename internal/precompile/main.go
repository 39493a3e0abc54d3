// Command precompile compiles the WASM modules of a payload for the system
// that it runs on and packs the result beside them, so that a first start need
// not compile: precompile -o ARCHIVE MODULE….
//
// What a machine of another kind cannot use does no harm there: the engine
// finds compiled code by its version, the system and the processor's features,
// and compiles when there is none.
package main

import (
	"archive/zip"
	"compress/flate"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

func main() {
	out := flag.String("o", "", "archive to write")
	flag.Parse()
	if err := run(context.Background(), *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "precompile:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out string, modules []string) error {
	if out == "" || len(modules) == 0 {
		return errors.New("usage: precompile -o ARCHIVE MODULE…")
	}
	dir, err := os.MkdirTemp("", "precompile")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var code [][]byte
	for _, name := range modules {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		code = append(code, b)
	}
	if fresh, err := compile(ctx, dir, out, code); err != nil || !fresh {
		return err
	}
	// A build that is broken off must not leave half an archive to be embedded.
	if err := pack(out+".new", dir); err != nil {
		return errors.Join(err, os.Remove(out+".new"))
	}
	return os.Rename(out+".new", out)
}

// compile leaves the compiled modules in dir and tells whether they differ from
// what the archive has. Only the engine knows which file belongs to which
// module, so it is given the old ones and shows by what it adds.
func compile(ctx context.Context, dir, archive string, code [][]byte) (fresh bool, err error) {
	old, err := zip.OpenReader(archive)
	if err != nil {
		return true, wasm.Precompile(ctx, dir, code...) // none, or a damaged one
	}
	defer old.Close()
	if err := wasm.Seed(dir, old); err != nil {
		return true, errors.Join(os.RemoveAll(dir), wasm.Precompile(ctx, dir, code...))
	}
	had, err := files(dir)
	if err != nil {
		return false, err
	}
	if err := wasm.Precompile(ctx, dir, code...); err != nil {
		return false, err
	}
	has, err := files(dir)
	if err != nil || len(has) == len(had) {
		return false, err
	}
	for _, path := range had {
		if err := os.Remove(path); err != nil {
			return false, err
		}
	}
	return true, wasm.Precompile(ctx, dir, code...) // those of the old ones that are still used
}

func files(dir string) (paths []string, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			paths = append(paths, path)
		}
		return err
	})
	return paths, err
}

// pack writes the files of dir as a zip archive, which can be read as a file
// system where it lies.
func pack(out, dir string) error {
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	return errors.Join(z.AddFS(os.DirFS(dir)), z.Close(), f.Close())
}
