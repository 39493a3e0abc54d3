package embed

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
)

// ErrSnapshot: a file is no whole snapshot.
var ErrSnapshot = errors.New("no whole snapshot")

// CheckSnapshot reads a file that Backup wrote and compares its checksum.
func CheckSnapshot(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	// A database is whole sectors, and the checksum stands behind them.
	size := info.Size() - sha256.Size
	if size <= 0 || size%512 != 0 {
		return fmt.Errorf("%s: %w: %d bytes are no database and its checksum", path, ErrSnapshot, info.Size())
	}
	sum := sha256.New()
	if _, err := io.CopyN(sum, f, size); err != nil {
		return err
	}
	want := make([]byte, sha256.Size)
	if _, err := io.ReadFull(f, want); err != nil {
		return err
	}
	if string(sum.Sum(nil)) != string(want) {
		return fmt.Errorf("%s: %w: the checksum differs", path, ErrSnapshot)
	}
	return nil
}
