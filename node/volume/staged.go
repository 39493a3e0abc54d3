package volume

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/node/volume/driver"
)

// stages are the volumes that pods of the node share. Which pod uses which is
// on the disk, a file per pod and volume, written before the volume is staged
// and removed when the pod's part of it is undone: whatever agent comes later
// finds what is left to do. See RATIONALE.md, "Why is a staged volume written
// down before it is staged?".
type stages struct {
	root string // of the pods' directories
	dir  string // of staged volumes
	log  *slog.Logger

	mu    sync.Mutex
	locks map[driverVolume]*stageLock // guarded by mu
}

type driverVolume struct{ driver, id string }

type stageLock struct {
	held  chan struct{} // has room for the one who holds it
	users int           // who hold it or wait; guarded by stages.mu
}

// lock waits until nobody else works on a volume, or until ctx ends: a pod that
// is deleted does not wait for another's storage.
func (s *stages) lock(ctx context.Context, h driver.Handle) (unlock func(), err error) {
	key := driverVolume{h.Driver, h.ID}
	s.mu.Lock()
	if s.locks == nil {
		s.locks = map[driverVolume]*stageLock{}
	}
	l := s.locks[key]
	if l == nil {
		l = &stageLock{held: make(chan struct{}, 1)}
		s.locks[key] = l
	}
	l.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.users--; l.users == 0 {
			delete(s.locks, key)
		}
	}
	select {
	case l.held <- struct{}{}:
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
	return func() {
		<-l.held
		leave()
	}, nil
}

// place is where a volume is staged.
func (s *stages) place(h driver.Handle) string {
	sum := sha256.Sum256([]byte(h.ID))
	return filepath.Join(s.dir, h.Driver, hex.EncodeToString(sum[:16]))
}

// finder finds the driver of a name.
type finder func(name string) (driver.Staged, error)

// setup stages a volume and sets it up for one pod.
func (s *stages) setup(ctx context.Context, d driver.Staged, r *driver.Request, find finder) (driver.Mount, error) {
	h, err := d.Handle(r)
	if err != nil {
		return driver.Mount{}, err
	}
	h.Driver = d.Name()
	if err := s.undoOther(ctx, h, r.Dir, find); err != nil {
		return driver.Mount{}, err
	}
	unlock, err := s.lock(ctx, h)
	if err != nil {
		return driver.Mount{}, err
	}
	defer unlock()
	if err := keepHandle(recordOf(r.Dir), h); err != nil {
		return driver.Mount{}, err
	}
	at := s.place(h)
	if err := os.MkdirAll(at, 0o750); err != nil {
		return driver.Mount{}, err
	}
	if err := d.Stage(ctx, r, h, at); err != nil {
		return driver.Mount{}, err
	}
	r.Staged = at
	return d.Setup(ctx, r)
}

// undoOther undoes the volume that the record of dir names, if it is another
// than h: with its record it would stay staged for ever.
func (s *stages) undoOther(ctx context.Context, h driver.Handle, dir string, find finder) error {
	old, err := s.read(recordOf(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || old.Driver == h.Driver && old.ID == h.ID {
		return err
	}
	if err := s.undo(ctx, recordOf(dir), dir, find); err != nil {
		return fmt.Errorf("undo volume %q, which was here before: %w", old.ID, err)
	}
	return nil
}

// tearDown undoes what drivers did for the pod of a directory, and what they
// did for all pods if it was the last.
func (s *stages) tearDown(ctx context.Context, pod string, find finder) error {
	records, err := filepath.Glob(filepath.Join(escape(pod), "staged", "*.json"))
	if err != nil {
		return err
	}
	var errs []error
	for _, file := range records {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		if err := s.undo(ctx, file, filepath.Join(pod, "volumes", name), find); err != nil {
			errs = append(errs, fmt.Errorf("volume %q: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *stages) undo(ctx context.Context, file, dir string, find finder) error {
	h, err := s.read(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	d, err := find(h.Driver)
	if err != nil {
		return err
	}
	unlock, err := s.lock(ctx, h)
	if err != nil {
		return err
	}
	defer unlock()
	if err := d.TearDown(ctx, h, dir); err != nil {
		return err
	}
	last, err := s.last(h, file)
	if err != nil {
		return err
	}
	if last {
		at := s.place(h)
		if err := d.Unstage(ctx, h, at); err != nil {
			return err
		}
		// Not with what is in it: that would be the volume's.
		if err := os.Remove(at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Remove(file)
}

// last reports whether no pod uses a volume but for that of one file.
func (s *stages) last(h driver.Handle, except string) (bool, error) {
	files, err := filepath.Glob(filepath.Join(escape(s.root), "*", "staged", "*.json"))
	if err != nil {
		return false, err
	}
	for _, file := range files {
		if file == except {
			continue
		}
		o, err := s.read(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		if o.Driver == h.Driver && o.ID == h.ID {
			return false, nil
		}
	}
	return true, nil
}

// recordOf is the file that keeps the handle of the volume at dir.
func recordOf(dir string) string {
	return filepath.Join(filepath.Dir(filepath.Dir(dir)), "staged", filepath.Base(dir)+".json")
}

func keepHandle(file string, h driver.Handle) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o750); err != nil {
		return err
	}
	return atomicfile.Write(file, b, 0o640)
}

// quarantined is the suffix of records that say nothing.
const quarantined = ".corrupt"

// read reads a record. One that names no volume is renamed, so that it does not
// stand in the way of every other volume, and is not there from then on: the
// next setup of its pod writes it anew. What cannot be read at all is an error,
// because it may be readable later.
func (s *stages) read(file string) (driver.Handle, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return driver.Handle{}, err
	}
	var h driver.Handle
	err = json.Unmarshal(b, &h)
	if err == nil && (h.Driver == "" || h.ID == "") {
		err = errors.New("it names no volume")
	}
	if err == nil {
		return h, nil
	}
	s.log.Warn("the record of a staged volume is corrupt and was set aside: the volume may stay staged when its pod is gone",
		"file", file+quarantined, "error", err)
	if err := os.Rename(file, file+quarantined); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return driver.Handle{}, fmt.Errorf("set a corrupt record aside: %w", err)
	}
	return driver.Handle{}, &fs.PathError{Op: "read", Path: file, Err: fs.ErrNotExist}
}

// escape makes a path a pattern of itself.
func escape(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}
