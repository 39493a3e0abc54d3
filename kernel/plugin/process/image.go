package process

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// images are the executables that run, by digest. Each is a file without a name:
// it is executed by its descriptor, nobody else can reach it, and the system
// forgets it with the last process, also when the server is killed. It is safe
// for concurrent use.
type images struct {
	dir string

	mu     sync.Mutex
	loaded map[string]*image // guarded by mu
}

// image is one executable.
type image struct {
	of    *images
	key   string
	users int // guarded by images.mu

	once sync.Once
	file *os.File
	err  error
}

// get opens the executable of a module. It is released by image.release.
func (i *images) get(m plugin.Module) (*image, error) {
	key := m.Digest
	if m.Path != "" {
		key = "path:" + m.Path
	} else if b, err := hex.DecodeString(strings.TrimPrefix(m.Digest, "sha256:")); err != nil || len(b) != 32 {
		return nil, fmt.Errorf("module digest %q is not sha256", m.Digest)
	}
	i.mu.Lock()
	img := i.loaded[key]
	if img == nil {
		img = &image{of: i, key: key}
		i.loaded[key] = img
	}
	img.users++
	i.mu.Unlock()
	img.once.Do(func() { img.file, img.err = i.open(m) })
	if img.err != nil {
		img.release()
		return nil, img.err
	}
	return img, nil
}

// release gives a user back. The last one's is the end of the file.
func (img *image) release() {
	img.of.mu.Lock()
	defer img.of.mu.Unlock()
	if img.users--; img.users > 0 {
		return
	}
	delete(img.of.loaded, img.key)
	if img.file != nil {
		_ = img.file.Close() // it was opened for reading
	}
}

func (i *images) open(m plugin.Module) (*os.File, error) {
	if m.Path != "" {
		return os.Open(m.Path)
	}
	code, err := m.Code()
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if len(code) < 4 || string(code[:4]) != "\x7fELF" {
		return nil, wire.Errorf(wire.KindABI, "not an executable for this system")
	}
	f, err := i.write(code)
	if err != nil {
		return nil, fmt.Errorf("write module: %w", err)
	}
	return f, nil
}

// write puts code into a file without a name and opens it anew for reading: what
// is open for writing cannot be executed.
func (i *images) write(code []byte) (*os.File, error) {
	w, err := os.CreateTemp(i.dir, ".module-")
	if err != nil {
		return nil, err
	}
	r, err := os.Open(w.Name())
	err = errors.Join(err, os.Remove(w.Name()))
	if err == nil {
		_, err = w.Write(code)
	}
	if err == nil {
		err = w.Chmod(0o555) // it has no name: only who has the descriptor reads it
	}
	if err = errors.Join(err, w.Close()); err != nil {
		if r != nil {
			err = errors.Join(err, r.Close())
		}
		return nil, err
	}
	return r, nil
}

// sweep removes what servers before this one left in the folder: named
// executables, half-written ones, and sockets of plugins.
func sweep(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		names, err := d.Readdirnames(256)
		for _, n := range names {
			if _, hexErr := hex.DecodeString(n); hexErr == nil && len(n) == 64 || strings.HasPrefix(n, ".") || n == "run" || strings.HasPrefix(n, "plugin-dir") {
				if err := os.RemoveAll(dir + "/" + n); err != nil {
					return err
				}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
