package logs

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Rotation bounds the log of one container.
type Rotation struct {
	// Size in bytes above which a file is rotated; 0 is 10 MiB.
	Size int64
	// Files that are kept, the current one included; 0 is 5.
	Files int
}

const stampLayout = "20060102-150405.000000000"

// Rotate moves the log at path aside if it is too large, lets reopen make the
// runtime write to a new file, and removes the oldest parts. It reports
// whether it rotated.
func (r Rotation) Rotate(ctx context.Context, path string, now time.Time, reopen func(context.Context) error) (bool, error) {
	size, files := r.Size, r.Files
	if size == 0 {
		size = 10 << 20
	}
	if files == 0 {
		files = 5
	}
	fi, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil || fi.Size() < size {
		return false, err
	}
	aside := path + "." + now.UTC().Format(stampLayout)
	if err := os.Rename(path, aside); err != nil {
		return false, fmt.Errorf("rotate log: %w", err)
	}
	if err := reopen(ctx); err != nil {
		// The runtime still writes to the file that was moved: move it back.
		return false, errors.Join(fmt.Errorf("rotate log: %w", err), os.Rename(aside, path))
	}
	old, err := filepath.Glob(path + ".*")
	if err != nil {
		return true, err
	}
	slices.Sort(old) // by time
	for len(old) > files-1 {
		if err := os.Remove(old[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("remove old log: %w", err)
		}
		old = old[1:]
	}
	return true, nil
}
