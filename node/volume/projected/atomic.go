package projected

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/pintle-io/pintle/node/volume/ownership"
)

// Names of the atomic update, upstream's: programs watch "..data".
const (
	dataLink = "..data"
	dataTemp = "..data_tmp"
)

// writeAtomically makes dir hold files. The files lie in a directory of their
// own that the link "..data" points to; a change writes a new directory and
// moves the link, so that a reader sees all of the old content or all of the
// new. Unchanged content is left alone.
func writeAtomically(dir string, files map[string]file, group *int64) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(dir, 0o777|fs.ModeSticky); err != nil {
		return err
	}
	old, err := os.Readlink(filepath.Join(dir, dataLink))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if old != "" && same(filepath.Join(dir, old), files) {
		return links(dir, files)
	}
	next, err := os.MkdirTemp(dir, "..new-")
	if err != nil {
		return err
	}
	if err := fill(next, files, group); err != nil {
		return errors.Join(err, os.RemoveAll(next))
	}
	if err := os.Remove(filepath.Join(dir, dataTemp)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Symlink(filepath.Base(next), filepath.Join(dir, dataTemp)); err != nil {
		return err
	}
	if err := os.Rename(filepath.Join(dir, dataTemp), filepath.Join(dir, dataLink)); err != nil {
		return err
	}
	if err := links(dir, files); err != nil {
		return err
	}
	return sweep(dir, filepath.Base(next))
}

func fill(dir string, files map[string]file, group *int64) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	for name, f := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(p, f.data, fs.FileMode(f.mode)); err != nil {
			return err
		}
		if err := os.Chmod(p, fs.FileMode(f.mode)); err != nil { // past the umask
			return err
		}
		if f.user != nil {
			if err := os.Lchown(p, int(*f.user), -1); err != nil {
				return err
			}
		}
	}
	if group != nil {
		return ownership.Give(dir, *group, true)
	}
	return nil
}

// same reports whether dir holds files and nothing else.
func same(dir string, files map[string]file) bool {
	left := len(files)
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(dir, p)
		if err != nil {
			return err
		}
		want, ok := files[rel]
		if !ok {
			return errors.New("one too many")
		}
		have, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		if !bytes.Equal(have, want.data) {
			return errors.New("changed")
		}
		left--
		return nil
	})
	return err == nil && left == 0
}

// links makes the names that users see: one link per first element of the
// files' paths.
func links(dir string, files map[string]file) error {
	want := map[string]bool{}
	for name := range files {
		head, _, _ := strings.Cut(name, "/")
		want[head] = true
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".."):
		case want[name]:
			delete(want, name)
		default:
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	for name := range want {
		if err := os.Symlink(filepath.Join(dataLink, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes the directories of earlier contents.
func sweep(dir, keep string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasPrefix(e.Name(), "..") && e.Name() != keep {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove old content: %w", err)
			}
		}
	}
	return nil
}
