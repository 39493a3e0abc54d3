// Package build makes OCI images without a container engine: from a static
// binary and a few files, or from an archive on disk. It also pushes them to a
// registry. Equal inputs make equal images: times and owners are left out.
package build

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// File is one file of an image. Exactly one of From, Content, Link and Dir is
// used.
type File struct {
	// Path is absolute, in the image.
	Path string
	// From is a file on this machine.
	From string
	// Content is the file's content.
	Content []byte
	// Link is the target of a symbolic link.
	Link string
	// Dir makes an empty directory.
	Dir bool
	// Mode holds the permission bits; 0 means 0755 for From and Dir, 0644 for
	// Content.
	Mode int64
}

// Spec describes an image.
type Spec struct {
	Files      []File
	Entrypoint []string
	Cmd        []string
	// Env holds "NAME=value"; PATH is set if it is not in it.
	Env []string
	// User is "uid", "uid:gid" or a name; "" is root.
	User       string
	WorkingDir string
	// Ports are documentation, such as "8080/tcp".
	Ports  []string
	Labels map[string]string
	// Architecture is Go's name; "" is this machine's.
	Architecture string
}

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Image makes an image of one layer.
func Image(spec Spec) (v1.Image, error) {
	layer, err := layer(spec.Files)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	cf = cf.DeepCopy()
	cf.OS, cf.Architecture = "linux", spec.Architecture
	if cf.Architecture == "" {
		cf.Architecture = runtime.GOARCH
	}
	cf.Config = v1.Config{Entrypoint: spec.Entrypoint, Cmd: spec.Cmd, Env: spec.Env,
		User: spec.User, WorkingDir: spec.WorkingDir, Labels: spec.Labels}
	if !slices.ContainsFunc(spec.Env, func(s string) bool { return strings.HasPrefix(s, "PATH=") }) {
		cf.Config.Env = append([]string{defaultPath}, spec.Env...)
	}
	for _, p := range spec.Ports {
		if cf.Config.ExposedPorts == nil {
			cf.Config.ExposedPorts = map[string]struct{}{}
		}
		cf.Config.ExposedPorts[p] = struct{}{}
	}
	img, err = mutate.ConfigFile(img, cf)
	if err != nil {
		return nil, fmt.Errorf("build image: %w", err)
	}
	return img, nil
}

// Binary makes an image whose entrypoint is a static executable of this
// machine. spec adds files and settings; its entrypoint, if set, wins.
//
// # Errors
//
// Says so when the file is no Linux executable or needs a dynamic linker,
// which the image would not have.
func Binary(file string, spec Spec) (v1.Image, error) {
	arch, err := static(file)
	if err != nil {
		return nil, err
	}
	name := "/" + path.Base(file)
	spec.Files = append([]File{{Path: name, From: file}, {Path: "/tmp", Dir: true, Mode: 0o1777}}, spec.Files...)
	if spec.Entrypoint == nil {
		spec.Entrypoint = []string{name}
	}
	if spec.Architecture == "" {
		spec.Architecture = arch
	}
	return Image(spec)
}

func static(file string) (arch string, err error) {
	f, err := elf.Open(file)
	if err != nil {
		return "", fmt.Errorf("%s is no Linux executable: %w", file, err)
	}
	defer f.Close()
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return "", fmt.Errorf("%s is no executable but %s", file, f.Type)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return "", fmt.Errorf("%s is dynamically linked; build it statically (CGO_ENABLED=0)", file)
		}
	}
	switch f.Machine {
	case elf.EM_X86_64:
		return "amd64", nil
	case elf.EM_AARCH64:
		return "arm64", nil
	}
	return "", fmt.Errorf("%s is for %s, which is not supported", file, f.Machine)
}

// layer packs files, with the directories above them, sorted by path.
func layer(files []File) (v1.Layer, error) {
	files = slices.Clone(files)
	for i := range files {
		files[i].Path = strings.TrimPrefix(path.Clean("/"+files[i].Path), "/")
	}
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	made := map[string]bool{"": true, ".": true}
	for _, f := range files {
		name := f.Path
		if name == "" {
			return nil, fmt.Errorf("file without a path")
		}
		if made[name] && f.Dir {
			continue
		}
		if err := parents(tw, path.Dir(name), made); err != nil {
			return nil, err
		}
		if err := add(tw, name, f); err != nil {
			return nil, fmt.Errorf("%s: %w", f.Path, err)
		}
		made[name] = true
	}
	if err := tw.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	})
}

func parents(tw *tar.Writer, dir string, made map[string]bool) error {
	if made[dir] {
		return nil
	}
	if err := parents(tw, path.Dir(dir), made); err != nil {
		return err
	}
	made[dir] = true
	return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755})
}

func add(tw *tar.Writer, name string, f File) error {
	mode := func(fallback int64) int64 {
		if f.Mode != 0 {
			return f.Mode
		}
		return fallback
	}
	switch {
	case f.Link != "":
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: f.Link, Mode: 0o777})
	case f.Dir:
		return tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode(0o755)})
	case f.From != "":
		return addFile(tw, name, f.From, mode(0o755))
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode(0o644), Size: int64(len(f.Content))}); err != nil {
		return err
	}
	_, err := tw.Write(f.Content)
	return err
}

func addFile(tw *tar.Writer, name, from string, mode int64) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return errors.New("not a regular file")
	}
	if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: fi.Size()}); err != nil {
		return err
	}
	_, err = io.Copy(tw, in)
	return err
}
