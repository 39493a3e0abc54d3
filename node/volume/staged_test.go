package volume_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/volume"
	"github.com/pintle-io/pintle/node/volume/driver"
)

// remote is a driver in two phases, whose volumes are file systems in memory:
// one at the node, bound into each pod.
type remote struct {
	calls []string
	fail  map[string]error // by call
	hang  func()           // called by Stage, if set
}

func (*remote) Name() string                { return "remote" }
func (*remote) Supports(s driver.Spec) bool { return s.Volume.CSI != nil }

func (*remote) Handle(r *driver.Request) (driver.Handle, error) {
	return driver.Handle{ID: r.Volume.CSI.Driver, Attributes: map[string]string{"pod": r.Pod.Name}}, nil
}

func (d *remote) call(what string) error {
	d.calls = append(d.calls, what)
	return d.fail[strings.Fields(what)[0]]
}

func (d *remote) Stage(_ context.Context, _ *driver.Request, h driver.Handle, dir string) error {
	if err := d.call("stage " + h.ID); err != nil {
		return err
	}
	if d.hang != nil {
		d.hang()
	}
	return mount.TmpfsOnce(dir, 0)
}

func (d *remote) Setup(_ context.Context, r *driver.Request) (driver.Mount, error) {
	if err := errors.Join(d.call("setup "+r.Pod.Name), os.MkdirAll(r.Dir, 0o755)); err != nil {
		return driver.Mount{}, err
	}
	is, err := mount.IsMountPoint(r.Dir)
	if err == nil && !is {
		err = mount.Bind(r.Staged, r.Dir)
	}
	return driver.Mount{Path: r.Dir}, err
}

func (d *remote) TearDown(_ context.Context, h driver.Handle, dir string) error {
	if err := d.call("tear-down " + h.Attributes["pod"]); err != nil {
		return err
	}
	return mount.Detach(dir)
}

func (d *remote) Unstage(_ context.Context, h driver.Handle, dir string) error {
	if err := d.call("unstage " + h.ID); err != nil {
		return err
	}
	if others, err := mount.Below(dir); err != nil || len(others) > 1 {
		return fmt.Errorf("in use: %v %v", others, err)
	}
	return mount.Detach(dir)
}

func (d *remote) said(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, d.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	d.calls = nil
}

func newStaged(t *testing.T, root string, d ...driver.Driver) *volume.Manager {
	return volume.New(volume.Config{Root: filepath.Join(root, "pods"), Staging: filepath.Join(root, "staged"), Drivers: d,
		Node: func() *podspec.Node { return &podspec.Node{} }, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
}

func sharing(name string) *corev1.Pod {
	p := pod(vol("data", corev1.VolumeSource{CSI: &corev1.CSIVolumeSource{Driver: "disk-1"}}))
	p.Name, p.UID = name, types.UID(name)
	return p
}

// TestStaged: a volume is staged before the first of its pods has it and until
// the last is gone, whichever agent is there then, and whatever fails on the way.
func TestStaged(t *testing.T) {
	testenv.RequireNetwork(t)
	root, d := t.TempDir(), &remote{fail: map[string]error{}}
	m := newStaged(t, root, d)
	a, b := sharing("a"), sharing("b")
	for _, p := range []*corev1.Pod{a, b, a} {
		if _, err := m.Prepare(t.Context(), p); err != nil {
			t.Fatal(err)
		}
	}
	d.said(t, "stage disk-1", "setup a", "stage disk-1", "setup b", "stage disk-1", "setup a")
	c := &corev1.Container{Name: "c", VolumeMounts: []corev1.VolumeMount{{Name: "data", MountPath: "/data", SubPath: "part"}}}
	if _, err := m.Mounts(t.Context(), a, c, nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(root, "pods/b/volumes/data/part")); err != nil {
		t.Errorf("not the same volume: %v", err)
	}

	// The agent that made it is gone, and with it all that it knew.
	if err := newStaged(t, root).TearDown(t.Context(), "a"); err == nil || !strings.Contains(err.Error(), `its driver "remote" is not on this node`) {
		t.Errorf("a node without the driver: got %v", err)
	}
	m = newStaged(t, root, d)
	if err := m.TearDown(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	d.said(t, "tear-down a")

	d.fail["tear-down"] = errors.New("not now")
	if err := m.TearDown(t.Context(), "b"); err == nil {
		t.Error("what failed is told as done")
	}
	delete(d.fail, "tear-down")
	d.fail["unstage"] = errors.New("not now")
	if err := m.TearDown(t.Context(), "b"); err == nil {
		t.Error("what failed is told as done")
	}
	delete(d.fail, "unstage")
	if left, err := m.Pods(); err != nil || !slices.Contains(left, "b") {
		t.Errorf("what is left to do was forgotten: %v %v", left, err)
	}
	if err := m.TearDown(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	d.said(t, "tear-down b", "tear-down b", "unstage disk-1", "tear-down b", "unstage disk-1")
	if left, err := mount.Below(root); err != nil || len(left) > 0 {
		t.Errorf("mounts left: %v %v", left, err)
	}

	// What never came about is undone, too: a driver may have done half of it.
	d.fail["stage"] = errors.New("no such disk")
	var e *volume.Error
	if _, err := m.Prepare(t.Context(), a); !errors.As(err, &e) || e.Volume != "data" {
		t.Errorf("got %v", err)
	}
	if err := m.TearDown(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	d.said(t, "stage disk-1", "tear-down a", "unstage disk-1")
}

var _ driver.Staged = (*remote)(nil)

// TestStagingHangs: a pod that is deleted does not wait for the storage that
// another pod waits for.
func TestStagingHangs(t *testing.T) {
	testenv.RequireNetwork(t)
	root, d := t.TempDir(), &remote{}
	m := newStaged(t, root, d)
	staging, answer, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	d.fail, d.hang = map[string]error{"setup": errors.New("enough")}, func() {
		close(staging)
		<-answer
	}
	go func() {
		defer close(done)
		if _, err := m.Prepare(context.Background(), sharing("a")); err == nil {
			t.Error("set up")
		}
	}()
	<-staging
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := m.Prepare(ctx, sharing("b")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(answer)
	<-done
	d.said(t, "stage disk-1", "setup a")
	d.fail, d.hang = map[string]error{}, nil
	for _, name := range []types.UID{"a", "b"} {
		if err := m.TearDown(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
}

// TestCorruptRecord: a record that says nothing keeps neither its own pod nor
// the volumes of others from being undone.
func TestCorruptRecord(t *testing.T) {
	testenv.RequireNetwork(t)
	for what, text := range map[string]string{"empty": "", "cut off": `{"driver":"rem`, "of no volume": "{}"} {
		t.Run(what, func(t *testing.T) {
			root, d := t.TempDir(), &remote{}
			m := newStaged(t, root, d)
			a, b, other := sharing("a"), sharing("b"), sharing("other")
			other.Spec.Volumes[0].CSI.Driver = "disk-2"
			for _, p := range []*corev1.Pod{a, b, other} {
				if _, err := m.Prepare(t.Context(), p); err != nil {
					t.Fatal(err)
				}
			}
			d.calls = nil
			record := filepath.Join(root, "pods/a/staged/data.json")
			spoil := func() {
				if err := os.WriteFile(record, []byte(text), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			spoil()
			if err := m.TearDown(t.Context(), "other"); err != nil {
				t.Fatal(err)
			}
			d.said(t, "tear-down other", "unstage disk-2")
			if got, err := os.ReadFile(record + ".corrupt"); err != nil || string(got) != text {
				t.Errorf("it was not set aside: %q %v", got, err)
			}

			// Whoever sets the volume up again has a record again.
			if _, err := m.Prepare(t.Context(), a); err != nil {
				t.Fatal(err)
			}
			if err := m.TearDown(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			d.said(t, "stage disk-1", "setup a", "tear-down b")

			spoil()
			if err := m.TearDown(t.Context(), "a"); err != nil {
				t.Fatal(err)
			}
			d.said(t)
			if left, err := m.Pods(); err != nil || len(left) > 0 {
				t.Errorf("left: %v %v", left, err)
			}
			if err := mount.DetachBelow(filepath.Join(root, "staged")); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestAnotherVolume: what a pod had under a name is undone before it has another
// volume under it, and is not forgotten when that fails.
func TestAnotherVolume(t *testing.T) {
	testenv.RequireNetwork(t)
	root, d := t.TempDir(), &remote{fail: map[string]error{}}
	m := newStaged(t, root, d)
	p := sharing("a")
	if _, err := m.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	p = p.DeepCopy()
	p.Spec.Volumes[0].CSI.Driver = "disk-2"
	d.fail["unstage"] = errors.New("not now")
	if _, err := m.Prepare(t.Context(), p); err == nil || !strings.Contains(err.Error(), `undo volume "disk-1", which was here before: not now`) {
		t.Errorf("got %v", err)
	}
	delete(d.fail, "unstage")
	if _, err := m.Prepare(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	d.said(t, "stage disk-1", "setup a", "tear-down a", "unstage disk-1", "tear-down a", "unstage disk-1", "stage disk-2", "setup a")
	if err := m.TearDown(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	d.said(t, "tear-down a", "unstage disk-2")
	if left, err := mount.Below(root); err != nil || len(left) > 0 {
		t.Errorf("mounts left: %v %v", left, err)
	}
}
