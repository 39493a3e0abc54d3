package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"k8s.io/utils/clock"
)

// blobs keeps blobs in files named by their digest. A blob is verified when
// it comes in, and by whoever pulls it; Stat need not read it again.
type blobs struct {
	dir   string
	clock clock.PassiveClock
}

// touchAfter bounds how often a blob's time is written.
const touchAfter = time.Minute

func (b *blobs) file(h v1.Hash) string { return filepath.Join(b.dir, h.Algorithm, h.Hex) }

// Stat returns a blob's size. Whoever asks may be about to push a manifest that
// refers to it, so it counts as new again.
func (b *blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	fi, err := os.Stat(b.file(h))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	if now := b.clock.Now(); now.Sub(fi.ModTime()) > touchAfter {
		_ = os.Chtimes(b.file(h), now, now) // gone meanwhile: the client will see
	}
	return fi.Size(), nil
}

// Get opens a blob.
func (b *blobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(b.file(h))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, registry.ErrNotFound
	}
	return f, err
}

var _ registry.BlobStatHandler = (*blobs)(nil)
