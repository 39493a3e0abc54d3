package registry

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"
	"k8s.io/utils/clock"
)

// Faults of an upload; fault.go says how each is answered.
var (
	errTooManyUploads = errors.New("too many uploads are open")
	errNoUpload       = errors.New("no such upload: it ended, or nothing came for too long")
	errBusy           = errors.New("another request writes to this upload")
	errOutOfOrder     = errors.New("the chunk does not begin where the upload ends")
	errTooLarge       = errors.New("the blob is too large")
	errDiskFull       = errors.New("the registry's disk is full; delete images, or give it more room")
	errWrongDigest    = errors.New("the content has another digest")
)

// uploads are the blobs that are being pushed. Each is a file of its own, which
// becomes the blob when it is whole: nothing of it is kept in memory.
type uploads struct {
	dir   string
	limit Limits
	clock clock.WithDelayedExecution
	free  func(dir string) (free, size uint64, err error)

	mu   sync.Mutex
	open map[string]*upload // guarded by mu; by id
}

// upload is one of them. Whoever holds busy may use the rest.
type upload struct {
	id    string
	repo  string
	file  *os.File
	size  int64
	hash  hash.Hash
	busy  bool        // guarded by uploads.mu
	timer clock.Timer // ends it when nobody comes
	until time.Time   // when it ends, whoever comes
}

// newUploads begins with none: what an earlier process left is removed.
func newUploads(dir string, limit Limits, c clock.WithDelayedExecution) (*uploads, error) {
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return &uploads{dir: dir, limit: limit, clock: c, free: freeSpace, open: map[string]*upload{}}, nil
}

// start opens an upload to a repository. The caller holds it and must call
// release, finish or cancel.
func (u *uploads) start(repo string) (*upload, error) {
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return nil, err
	}
	up := &upload{id: hex.EncodeToString(id), repo: repo, hash: sha256.New(), busy: true, until: u.clock.Now().Add(u.limit.UploadLifetime)}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.open) >= u.limit.Uploads {
		return nil, errTooManyUploads
	}
	f, err := os.OpenFile(filepath.Join(u.dir, up.id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	up.file = f
	u.open[up.id] = up
	return up, nil
}

// hold takes an upload up again.
func (u *uploads) hold(repo, id string) (*upload, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	up := u.open[id]
	switch {
	case up == nil || up.repo != repo:
		return nil, errNoUpload
	case up.busy:
		return nil, errBusy
	}
	up.busy = true
	up.timer.Stop()
	return up, nil
}

// release leaves an upload for the next request.
func (u *uploads) release(up *upload) {
	idle := min(u.limit.UploadIdle, up.until.Sub(u.clock.Now()))
	if idle <= 0 {
		u.cancel(up)
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	up.busy = false
	up.timer = u.clock.AfterFunc(idle, func() { go u.expire(up) })
}

// expire ends an upload that nobody holds.
func (u *uploads) expire(up *upload) {
	if held, err := u.hold(up.repo, up.id); err == nil {
		u.cancel(held)
	}
}

// cancel ends a held upload and removes what came.
func (u *uploads) cancel(up *upload) {
	_ = up.file.Close()
	_ = os.Remove(up.file.Name())
	u.forget(up)
}

func (u *uploads) forget(up *upload) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.open, up.id)
}

// checkEvery is after how many bytes the disk's free space and the upload's
// lifetime are looked at.
const checkEvery = 8 << 20

// write appends what body holds to a held upload, up to the limit of a blob and
// of the disk.
func (u *uploads) write(up *upload, body io.Reader) error {
	for {
		if err := u.room(up); err != nil {
			return err
		}
		n, err := io.CopyN(io.MultiWriter(up.file, up.hash), body, min(checkEvery, u.limit.Blob-up.size+1))
		up.size += n
		switch {
		case up.size > u.limit.Blob:
			return errTooLarge
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, unix.ENOSPC):
			return errDiskFull
		case err != nil:
			return err
		}
	}
}

func (u *uploads) room(up *upload) error {
	if u.clock.Now().After(up.until) {
		return errNoUpload
	}
	free, size, err := u.free(u.dir)
	if err != nil {
		return fmt.Errorf("free space: %w", err)
	}
	if free < reserve(size)+checkEvery {
		return errDiskFull
	}
	return nil
}

// finish makes a held upload the blob of this digest. On an error the upload is
// gone.
func (u *uploads) finish(up *upload, want v1.Hash, to string) error {
	defer u.cancel(up)
	if got := (v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(up.hash.Sum(nil))}); got != want {
		return fmt.Errorf("%w: %s", errWrongDigest, got)
	}
	if err := up.file.Sync(); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	return os.Rename(up.file.Name(), to)
}

// freeSpace is what processes may still write to dir's file system, and how
// large that is.
func freeSpace(dir string) (free, size uint64, err error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, 0, err
	}
	block := uint64(s.Bsize)
	return s.Bavail * block, s.Blocks * block, nil
}
