package registry

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// blobs keeps blobs in files named by their digest. A blob is verified when
// it comes in, and by whoever pulls it; Stat need not read it again.
type blobs struct {
	dir string
}

func (b *blobs) file(h v1.Hash) string { return filepath.Join(b.dir, h.Algorithm, h.Hex) }

// Stat returns a blob's size.
func (b *blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	fi, err := os.Stat(b.file(h))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
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

// Put stores a blob; rc fails at its end when the digest is wrong.
func (b *blobs) Put(_ context.Context, _ string, h v1.Hash, rc io.ReadCloser) error {
	defer rc.Close()
	dir := filepath.Dir(b.file(h))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err := io.Copy(f, rc); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), b.file(h))
}

// Delete removes a blob.
func (b *blobs) Delete(_ context.Context, _ string, h v1.Hash) error {
	err := os.Remove(b.file(h))
	if errors.Is(err, fs.ErrNotExist) {
		return registry.ErrNotFound
	}
	return err
}

var (
	_ registry.BlobStatHandler   = (*blobs)(nil)
	_ registry.BlobPutHandler    = (*blobs)(nil)
	_ registry.BlobDeleteHandler = (*blobs)(nil)
)
