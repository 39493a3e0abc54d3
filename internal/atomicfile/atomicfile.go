// Package atomicfile replaces files whole: whoever reads one, during a write or
// after a crash or a power loss at any moment, finds the old content or the new.
//
// [Write] is for what must be there after the machine has restarted. What means
// nothing then, such as the addresses that pods of this boot have, needs no
// fsync and should not wait for one: [Replace].
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/renameio/v2"
)

// Write makes path hold data, with exactly these permissions. When it returns
// nil the file is on the disk, its name included; after an error path is as it
// was, or holds data. A crash may leave a file behind that [Remnant] knows.
func Write(path string, data []byte, perm fs.FileMode) error {
	dir := filepath.Dir(path)
	f, err := renameio.NewPendingFile(path, renameio.WithTempDir(dir), renameio.WithStaticPermissions(perm))
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.CloseAtomicallyReplace()
	}
	if err != nil {
		return errors.Join(err, f.Cleanup())
	}
	return syncDir(dir)
}

// Replace is Write for what a crash of the machine may take: nothing waits for
// the disk, and after a power loss path may be empty.
func Replace(path string, data []byte, perm fs.FileMode) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path))
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Chmod(perm), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// syncDir puts a directory's names on the disk: not every file system does that
// when a file in it is synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Remnant tells of a name in a directory that a write of which file was cut off
// there by a crash: "node.json" of ".node.json1234".
func Remnant(name string) (of string, ok bool) {
	of = strings.TrimRight(name, "0123456789")
	if of == name || len(of) < 2 || of[0] != '.' {
		return "", false
	}
	return of[1:], true
}
