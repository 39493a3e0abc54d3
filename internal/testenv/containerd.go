package testenv

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/pintle-io/pintle/internal/images/build"
	"github.com/pintle-io/pintle/internal/images/registry"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/containerd"
)

// Names of the images in the registry of a Runtime.
const (
	PauseImage   = "pintle.dev/pause:v1"
	DemoImage    = "pintle.dev/demo:v1"
	BusyboxImage = "busybox:v1"
)

// busybox is Debian's busybox-static; a dynamically linked one makes no image.
const busybox = "/bin/busybox"

// Runtime is a place where a private containerd can run and be thrown away,
// with a registry that has images to run. It lives in the network namespace of
// the test process.
type Runtime struct {
	// Dir holds everything; short, since sockets lie in it.
	Dir string
	// Cgroup is the group that everything runs below.
	Cgroup string
	// Registry is the "host:port" of the registry.
	Registry string
	Cgroups  *cgroup.System
}

// NewRuntime makes the place and starts its registry; no containerd runs yet.
// After the test everything in it is ended and removed, and the test fails if
// processes, mounts or cgroups are left. It takes root and containerd; without,
// the test cannot run.
func NewRuntime(t testing.TB) *Runtime {
	t.Helper()
	RequireNetwork(t)
	if _, err := exec.LookPath("containerd"); err != nil {
		cannotRun(t, containerd.ErrNoBinary.Error())
	}
	if _, err := os.Stat(busybox); err != nil {
		cannotRun(t, "no "+busybox+": install busybox-static")
	}
	dir, err := os.MkdirTemp("", "pt-")
	if err != nil {
		t.Fatal(err)
	}
	cgroups, err := cgroup.Detect()
	if err != nil {
		t.Fatal(err)
	}
	r := &Runtime{Dir: dir, Cgroup: "/" + filepath.Base(dir), Cgroups: cgroups}
	t.Cleanup(func() { r.remove(t) })
	r.Registry = StartRegistry(t, filepath.Join(dir, "images"))
	for name, img := range testImages(t) {
		if _, err := build.Push(t.Context(), r.Registry, name, build.Named{Image: img}, "test"); err != nil {
			t.Fatalf("push %s: %v", name, err)
		}
	}
	return r
}

// Containerd is the configuration of a private containerd in this place.
func (r *Runtime) Containerd() containerd.Config {
	return containerd.Config{Dir: filepath.Join(r.Dir, "containerd"), Registry: r.Registry, SandboxImage: PauseImage,
		CNIBinDir: filepath.Join(r.Dir, "cni/bin"), CNIConfDir: filepath.Join(r.Dir, "cni/net.d"), Cgroup: r.Cgroup + "/runtime"}
}

// StartContainerd starts it; it ends with the test.
func (r *Runtime) StartContainerd(t testing.TB) *containerd.Server {
	t.Helper()
	s, err := containerd.Start(t.Context(), r.Containerd())
	if err != nil {
		t.Fatalf("start containerd: %v", err)
	}
	return s
}

// remove ends and removes everything, and complains about what it could not.
func (r *Runtime) remove(t testing.TB) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	if t.Failed() {
		if b, err := os.ReadFile(r.Containerd().LogFile()); err == nil {
			t.Logf("containerd's log ends:\n%s", b[max(0, len(b)-4000):])
		}
	}
	if err := containerd.Cleanup(ctx, r.Containerd(), r.Cgroup); err != nil {
		t.Errorf("clean up: %v", err)
	}
	if err := os.RemoveAll(r.Dir); err != nil {
		t.Errorf("clean up: %v", err)
	}
	if r.Cgroups.Exists(r.Cgroup) {
		t.Errorf("cgroup %s is left", r.Cgroup)
	}
}

// StartRegistry serves a registry stored in dir, on the loopback, until the
// test ends. Any token may push.
func StartRegistry(t testing.TB, dir string) (addr string) {
	t.Helper()
	reg, err := registry.New(registry.Config{Dir: dir, Push: func(context.Context, string) (bool, error) { return true, nil }})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: reg}
	go func() { _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close() })
	return ln.Addr().String()
}

var (
	buildOnce   sync.Once
	builtImages map[string]v1.Image
	buildErr    error
)

// testImages makes the images once per process; they are kept in memory.
func testImages(t testing.TB) map[string]v1.Image {
	t.Helper()
	buildOnce.Do(func() { builtImages, buildErr = makeImages() })
	if buildErr != nil {
		t.Fatal(buildErr)
	}
	return builtImages
}

func makeImages() (map[string]v1.Image, error) {
	dir, err := os.MkdirTemp("", "pintle-test-bin-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := map[string]v1.Image{}
	for name, command := range map[string]string{PauseImage: "pause", DemoImage: "demo"} {
		file := filepath.Join(dir, command)
		cmd := exec.Command("go", "build", "-o", file, "github.com/pintle-io/pintle/cmd/"+command)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if b, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build %s: %w\n%s", command, err, b)
		}
		if out[name], err = build.Binary(file, build.Spec{Ports: []string{"8080/tcp"}}); err != nil {
			return nil, err
		}
	}
	spec := build.Spec{Entrypoint: []string{"/bin/sh"}}
	for _, applet := range []string{"sh", "cat", "echo", "sleep", "ls", "id", "env", "stat", "tty", "true", "false", "touch", "mount", "grep", "hostname", "stty"} {
		spec.Files = append(spec.Files, build.File{Path: "/bin/" + applet, Link: "/busybox"})
	}
	out[BusyboxImage], err = build.Binary(busybox, spec)
	return out, err
}
