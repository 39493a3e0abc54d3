package build

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Named is an image of an archive. Exactly one of Image and Index is set.
type Named struct {
	// Name is the reference that the archive gives it; "" when it gives none.
	Name  string
	Image v1.Image
	Index v1.ImageIndex
}

// Archive is an opened archive; its images are read from disk until Close.
type Archive struct {
	Images []Named
	tmp    string
}

// Close removes what Open unpacked.
func (a *Archive) Close() error {
	if a.tmp == "" {
		return nil
	}
	return os.RemoveAll(a.tmp)
}

// maxEntries and maxUnpacked bound what an archive may unpack to.
const (
	maxEntries  = 100_000
	maxUnpacked = 32 << 30
)

// Open reads an OCI layout (a directory, or a tar file of one) or the tar
// file that `docker save` writes.
func Open(path string) (*Archive, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if fi.IsDir() {
		images, err := readLayout(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &Archive{Images: images}, nil
	}
	kind, err := sniff(path)
	if err != nil {
		return nil, fmt.Errorf("%s is no image archive: %w", path, err)
	}
	if kind == "docker" {
		images, err := readDocker(path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &Archive{Images: images}, nil
	}
	return unpackLayout(path)
}

// sniff looks for the file that tells what kind of archive it is. An archive
// may be both; then it is read as an OCI layout.
func sniff(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	kind := ""
	for n := 0; n < maxEntries; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		switch strings.TrimPrefix(h.Name, "./") {
		case "oci-layout":
			return "oci", nil
		case "manifest.json":
			kind = "docker"
		}
	}
	if kind == "" {
		return "", errors.New("neither oci-layout nor manifest.json is in it")
	}
	return kind, nil
}

func readDocker(path string) ([]Named, error) {
	open := func() (io.ReadCloser, error) { return os.Open(path) }
	manifest, err := tarball.LoadManifest(open)
	if err != nil {
		return nil, err
	}
	var out []Named
	for _, m := range manifest {
		if len(m.RepoTags) == 0 {
			if len(manifest) > 1 {
				continue // a nameless image among others cannot be asked for
			}
			img, err := tarball.Image(open, nil)
			if err != nil {
				return nil, err
			}
			return []Named{{Image: img}}, nil
		}
		for _, t := range m.RepoTags {
			tag, err := parseTag(t)
			if err != nil {
				return nil, err
			}
			img, err := tarball.Image(open, &tag)
			if err != nil {
				return nil, err
			}
			out = append(out, Named{Name: t, Image: img})
		}
	}
	return out, nil
}

func unpackLayout(path string) (*Archive, error) {
	tmp, err := os.MkdirTemp("", "pintle-image-")
	if err != nil {
		return nil, err
	}
	a := &Archive{tmp: tmp}
	if err = unpack(path, tmp); err == nil {
		a.Images, err = readLayout(tmp)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), a.Close())
	}
	return a, nil
}

// unpack extracts the regular files of a tar file. os.Root keeps names such as
// "../x" and links from leading outside.
func unpack(path, dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tr := tar.NewReader(f)
	var total int64
	for n := 0; n < maxEntries; n++ {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if total += h.Size; total > maxUnpacked {
			return errors.New("archive too large")
		}
		name := filepath.Clean(h.Name)
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		out, err := root.Create(name)
		if err != nil {
			return err
		}
		if _, err := io.Copy(out, tr); err != nil {
			return errors.Join(err, out.Close())
		}
		if err := out.Close(); err != nil {
			return err
		}
	}
	return errors.New("too many files in the archive")
}

const (
	annotationRef       = "org.opencontainers.image.ref.name"
	annotationImageName = "io.containerd.image.name"
)

func readLayout(dir string) ([]Named, error) {
	idx, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("no OCI layout: %w", err)
	}
	m, err := idx.IndexManifest()
	if err != nil {
		return nil, err
	}
	var out []Named
	for _, d := range m.Manifests {
		n := Named{Name: d.Annotations[annotationImageName]}
		if n.Name == "" {
			n.Name = d.Annotations[annotationRef]
		}
		if d.MediaType.IsIndex() {
			n.Index, err = idx.ImageIndex(d.Digest)
		} else {
			n.Image, err = idx.Image(d.Digest)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, n)
	}
	return out, nil
}
