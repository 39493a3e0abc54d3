package images

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// entry is one file of a layer. Exactly one of from, data, link and dir says
// what it is.
type entry struct {
	path string // without a leading slash
	from string // a file of this machine
	data []byte
	link string // what a symbolic link points to
	dir  bool
	mode fs.FileMode // 0 is 0755; fs.ModeSetuid counts
}

// stamp is the time of every file that we make, so that equal contents are an
// equal layer.
var stamp = time.Unix(0, 0)

// layerOf makes a layer of entries.
func layerOf(entries ...entry) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		if err := e.write(w); err != nil {
			return nil, fmt.Errorf("/%s: %w", e.path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

func (e entry) write(w *tar.Writer) error {
	mode := e.mode
	if mode == 0 {
		mode = 0o755
	}
	h := &tar.Header{Name: e.path, Mode: int64(mode.Perm()), ModTime: stamp}
	if mode&fs.ModeSetuid != 0 {
		h.Mode |= 0o4000
	}
	if mode&fs.ModeSticky != 0 {
		h.Mode |= 0o1000
	}
	data := e.data
	switch {
	case e.link != "":
		h.Typeflag, h.Linkname = tar.TypeSymlink, e.link
	case e.dir:
		h.Typeflag, h.Name = tar.TypeDir, e.path+"/"
	default:
		if e.from != "" {
			var err error
			if data, err = os.ReadFile(e.from); err != nil {
				return err
			}
		}
		h.Typeflag, h.Size = tar.TypeReg, int64(len(data))
	}
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err := w.Write(data)
	return err
}

// unwanted are folders of a Debian tree that no test looks at.
var unwanted = []string{"proc", "sys", "dev", "usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "var/cache", "var/lib/apt"}

// archiveTree writes the tree at root as a tar file, without what is unwanted,
// device nodes and sockets. The file appears whole or not at all.
func archiveTree(root, file string) (err error) {
	f, err := os.CreateTemp(filepath.Dir(file), ".tree")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	w := tar.NewWriter(f)
	err = filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == root {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		for _, u := range unwanted {
			if rel == u {
				return fs.SkipDir
			}
		}
		return archiveFile(w, name, filepath.ToSlash(rel), d)
	})
	if err = errors.Join(err, w.Close(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), file)
}

func archiveFile(w *tar.Writer, name, rel string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	link := ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		if link, err = os.Readlink(name); err != nil {
			return err
		}
	case !info.IsDir() && !info.Mode().IsRegular():
		return nil
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name = rel
	if info.IsDir() {
		h.Name += "/"
	}
	if err := w.WriteHeader(h); err != nil || !info.Mode().IsRegular() {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(w, f)
	return err
}

// parents are the folders above what the entries name, so that they exist with
// ordinary modes whatever unpacks the layer.
func parents(entries []entry) []entry {
	seen := map[string]bool{}
	for _, e := range entries {
		if e.dir {
			seen[e.path] = true
		}
	}
	var dirs []entry
	for _, e := range entries {
		parts := strings.Split(path.Dir(e.path), "/")
		for i := range parts {
			if dir := path.Join(parts[:i+1]...); dir != "." && !seen[dir] {
				seen[dir] = true
				dirs = append(dirs, entry{path: dir, dir: true})
			}
		}
	}
	return append(dirs, entries...)
}
