package build_test

import (
	"archive/tar"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/pintle-io/pintle/internal/images/build"
)

func list(t *testing.T, img v1.Image) []string {
	t.Helper()
	rc := mutate.Extract(img)
	defer rc.Close()
	var out []string
	for tr := tar.NewReader(rc); ; {
		h, err := tr.Next()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, h.FileInfo().Mode().String()+" "+h.Name+" "+h.Linkname)
	}
}

func TestImage(t *testing.T) {
	spec := build.Spec{Entrypoint: []string{"/app"}, Env: []string{"A=b"}, Ports: []string{"80/tcp"}, User: "65", Files: []build.File{
		{Path: "/etc/app/config", Content: []byte("x")}, {Path: "bin/sh", Link: "/app"}, {Path: "/tmp", Dir: true, Mode: 0o1777}}}
	img, err := build.Image(spec)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"drwxr-xr-x bin ", "Lrwxrwxrwx bin/sh /app", "drwxr-xr-x etc ", "drwxr-xr-x etc/app ", "-rw-r--r-- etc/app/config ", "dtrwxrwxrwx tmp "}
	if d := cmp.Diff(want, list(t, img)); d != "" {
		t.Errorf("files (-want +got):\n%s", d)
	}
	cf, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if cf.OS != "linux" || cf.Config.User != "65" || len(cf.Config.Env) != 2 || cf.Config.Entrypoint[0] != "/app" {
		t.Errorf("config: got %+v", cf.Config)
	}
	again, err := build.Image(spec)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := img.Digest()
	b, _ := again.Digest()
	if a != b {
		t.Errorf("equal inputs made %s and %s", a, b)
	}
}

func TestBinary(t *testing.T) {
	dir := t.TempDir()
	static := filepath.Join(dir, "app")
	src := filepath.Join(dir, "main.go")
	if err := os.WriteFile(src, []byte("package main\nfunc main() {}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", static, src)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v %s", err, out)
	}
	img, err := build.Binary(static, build.Spec{})
	if err != nil {
		t.Fatal(err)
	}
	cf, err := img.ConfigFile()
	if err != nil || cf.Config.Entrypoint[0] != "/app" {
		t.Errorf("entrypoint: got %v %v", cf.Config.Entrypoint, err)
	}
	for file, want := range map[string]string{src: "no Linux executable", filepath.Join(dir, "none"): "no such file"} {
		if _, err := build.Binary(file, build.Spec{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", file, err, want)
		}
	}
	if shared, err := exec.LookPath("ls"); err == nil {
		if _, err := build.Binary(shared, build.Spec{}); err == nil || !strings.Contains(err.Error(), "dynamically linked") {
			t.Errorf("%s: got %v", shared, err)
		}
	}
}

func TestOpen(t *testing.T) {
	img, err := build.Image(build.Spec{Files: []build.File{{Path: "/f", Content: []byte("x")}}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	docker := filepath.Join(dir, "docker.tar")
	tag, err := name.NewTag("web:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.WriteToFile(docker, tag, img); err != nil {
		t.Fatal(err)
	}
	oci := filepath.Join(dir, "oci")
	if err := writeLayout(oci, "web:v1", img); err != nil {
		t.Fatal(err)
	}
	ociTar := filepath.Join(dir, "oci.tar")
	f, err := os.Create(ociTar)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(f)
	if err := tw.AddFS(os.DirFS(oci)); err != nil {
		t.Fatal(err)
	}
	tw.Close()
	f.Close()
	for _, path := range []string{docker, oci, ociTar} {
		a, err := build.Open(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if len(a.Images) != 1 || a.Images[0].Name != "web:v1" && !strings.HasSuffix(a.Images[0].Name, "library/web:v1") {
			t.Errorf("%s: got %+v", path, a.Images)
		} else if got, err := a.Images[0].Image.ConfigName(); err != nil {
			t.Errorf("%s: %v", path, err)
		} else if cfg, _ := img.ConfigName(); got != cfg {
			t.Errorf("%s: got %s, want that of %s", path, got, want)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
	junk := filepath.Join(dir, "junk")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{junk, filepath.Join(dir, "none"), t.TempDir()} {
		if _, err := build.Open(path); err == nil {
			t.Errorf("%s: no error", path)
		}
	}
}

// TestOpenHostile: an archive cannot write outside of where it is unpacked.
func TestOpenHostile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "evil.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	tw := tar.NewWriter(f)
	for _, n := range []string{"oci-layout", "../../" + filepath.Base(dir) + "-escaped"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: n, Mode: 0o644, Size: 1}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	tw.Close()
	f.Close()
	if _, err := build.Open(path); err == nil {
		t.Error("no error")
	}
	for _, p := range []string{filepath.Join(filepath.Dir(dir), filepath.Base(dir)+"-escaped"), filepath.Join(os.TempDir(), filepath.Base(dir)+"-escaped")} {
		if _, err := os.Stat(p); err == nil {
			t.Errorf("%s was written", p)
		}
	}
}

// writeLayout stores an image as an OCI layout in dir, under its name.
func writeLayout(dir, ref string, img v1.Image) error {
	p, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return p.AppendImage(img, layout.WithAnnotations(map[string]string{"io.containerd.image.name": ref}))
}
