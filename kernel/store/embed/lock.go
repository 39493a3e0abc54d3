package embed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
)

// dirLock keeps other processes, and other members in this process, out of a
// data directory. The kernel drops it when the process dies.
type dirLock struct{ file *os.File }

func lockDir(dir string) (*dirLock, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, explain(err)
	}
	if err := tryLock(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := probe(filepath.Join(dir, "etcd", "member", "snap", "db")); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &dirLock{f}, nil
}

func (l *dirLock) release() error { return l.file.Close() }

func tryLock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s is locked by another process", ErrInUse, f.Name())
	}
	return err
}

// probeTimeout is how long an etcd that was started by hand, and knows nothing
// of our lock, may take to let go of its database.
const probeTimeout = 200 * time.Millisecond

// probe opens the database once: etcd would wait for its lock for ever, and
// panic over one that it cannot read.
func probe(path string) error {
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return nil
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: probeTimeout})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return fmt.Errorf("%w: %s is locked by another etcd", ErrInUse, path)
	case errors.Is(err, os.ErrPermission):
		return err
	case err != nil:
		return explain(fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err))
	}
	return db.Close()
}
