package localpath

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pintle-io/pintle/internal/testenv"
	"github.com/pintle-io/pintle/node/mount"
	"github.com/pintle-io/pintle/node/volume/driver"
)

func TestMain(m *testing.M) { testenv.IsolateNetwork(m) } // for its mount namespace

func nobody(*corev1.PersistentVolume) (bool, error) { return false, nil }

func aVolume(root string, edit ...func(*corev1.PersistentVolume)) *corev1.PersistentVolume {
	at := metav1.Now()
	v := &corev1.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: "pvc-1", UID: "u", Labels: map[string]string{NodeLabel: "n"},
		Annotations: map[string]string{provisionedBy: Provisioner}, Finalizers: []string{Finalizer}, DeletionTimestamp: &at},
		Spec: corev1.PersistentVolumeSpec{PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			PersistentVolumeSource: corev1.PersistentVolumeSource{Local: &corev1.LocalVolumeSource{Path: filepath.Join(root, "pvc-1")}},
			ClaimRef:               &corev1.ObjectReference{Namespace: "default", Name: "c"}},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeReleased}}
	for _, e := range edit {
		e(v)
	}
	return v
}

func TestSetup(t *testing.T) {
	root := filepath.Join(t.TempDir(), "volumes")
	d, v := Driver{Root: root, Node: "n"}, aVolume(root)
	if !d.Supports(driver.Spec{Persistent: v}) || d.Supports(driver.Spec{Persistent: aVolume(root, func(v *corev1.PersistentVolume) { v.Annotations = nil })}) {
		t.Error("supports others' volumes, or not its own")
	}
	group := int64(os.Getgid())
	r := &driver.Request{Spec: driver.Spec{Persistent: v}, Pod: &corev1.Pod{Spec: corev1.PodSpec{SecurityContext: &corev1.PodSecurityContext{FSGroup: &group}}}}
	for range 2 {
		m, err := d.Setup(t.Context(), r)
		if err != nil || m.Path != filepath.Join(root, "pvc-1") {
			t.Fatalf("%v, %v", m, err)
		}
		if err := os.WriteFile(filepath.Join(m.Path, "kept"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	fi, err := os.Stat(filepath.Join(root, "pvc-1"))
	if err != nil || fi.Mode().Perm() != 0o777 || fi.Mode()&os.ModeSetgid == 0 {
		t.Errorf("%v, %v", fi, err)
	}
	for name, path := range map[string]string{"elsewhere": "/etc", "another": filepath.Join(root, "pvc-2"), "the root": root} {
		v := aVolume(root, func(v *corev1.PersistentVolume) { v.Spec.Local.Path = path })
		if _, err := d.Setup(t.Context(), &driver.Request{Spec: driver.Spec{Persistent: v}, Pod: r.Pod}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	// The data of another node's volume are not here.
	v = aVolume(root, func(v *corev1.PersistentVolume) {
		v.Name, v.Labels, v.Spec.Local.Path = "pvc-3", map[string]string{NodeLabel: "m"}, filepath.Join(root, "pvc-3")
	})
	if _, err := d.Setup(t.Context(), &driver.Request{Spec: driver.Spec{Persistent: v}, Pod: r.Pod}); err == nil || !strings.Contains(err.Error(), `is on node "m"`) {
		t.Errorf("another node's: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "pvc-3")); !os.IsNotExist(err) {
		t.Errorf("another node's has a directory: %v", err)
	}
	// A volume whose name ends in .new is one like others.
	for _, name := range []string{"x.new", "x"} {
		v := aVolume(root, func(v *corev1.PersistentVolume) { v.Name, v.Spec.Local.Path = name, filepath.Join(root, name) })
		if _, err := d.Setup(t.Context(), &driver.Request{Spec: driver.Spec{Persistent: v}, Pod: r.Pod}); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(filepath.Join(root, "x.new")); err != nil {
		t.Errorf("x.new was taken for the unfinished x: %v", err)
	}
	v = aVolume(root, func(v *corev1.PersistentVolume) { v.Name, v.Spec.Local.Path = "..", filepath.Dir(root) })
	if _, err := directory(root, v); err == nil {
		t.Error("a volume is above the root")
	}
}

func TestRelease(t *testing.T) {
	for name, c := range map[string]struct {
		edit    func(*corev1.PersistentVolume)
		mounted bool
		removed bool
		fails   bool
	}{
		"removed":                           {func(*corev1.PersistentVolume) {}, false, true, false},
		"a pod has it":                      {func(*corev1.PersistentVolume) {}, true, false, true},
		"a pod has it, and it has no claim": {func(v *corev1.PersistentVolume) { v.Spec.ClaimRef, v.Status.Phase = nil, "Available" }, true, false, true},
		"not deleted":                       {func(v *corev1.PersistentVolume) { v.DeletionTimestamp = nil }, false, false, false},
		"kept":                              {func(v *corev1.PersistentVolume) { v.Spec.PersistentVolumeReclaimPolicy = "Retain" }, false, false, false},
		"bound":                             {func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false, false, false},
		"somebody else's":                   {func(v *corev1.PersistentVolume) { v.Annotations = nil }, false, false, false},
		"let go before":                     {func(v *corev1.PersistentVolume) { v.Finalizers = []string{"x"} }, false, false, false},
		"elsewhere":                         {func(v *corev1.PersistentVolume) { v.Spec.Local.Path = "/" }, false, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			data := filepath.Join(root, "pvc-1", "data")
			if err := os.MkdirAll(data, 0o755); err != nil {
				t.Fatal(err)
			}
			v := aVolume(root, c.edit)
			k := &Keeper{Client: fake.NewClientset(v), Node: "n", Root: root, Mounted: func(*corev1.PersistentVolume) (bool, error) { return c.mounted, nil }, Log: slog.New(slog.DiscardHandler)}
			if err := k.release(t.Context(), v); (err != nil) != c.fails {
				t.Errorf("error %v", err)
			}
			if _, err := os.Stat(data); os.IsNotExist(err) != c.removed {
				t.Errorf("data: %v", err)
			}
			got, err := k.Client.CoreV1().PersistentVolumes().Get(t.Context(), "pvc-1", metav1.GetOptions{})
			if c.removed {
				if err == nil && len(got.Finalizers) > 0 {
					t.Errorf("finalizers %v", got.Finalizers)
				}
			} else if err != nil || len(got.Finalizers) != len(v.Finalizers) {
				t.Errorf("finalizers %v, %v", got, err)
			}
		})
	}
}

// What a container has mounted in the volume is somebody's data, and not the volume's.
func TestReleaseSparesMounts(t *testing.T) {
	testenv.RequireNetwork(t)
	root, data := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "precious"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(root, "pvc-1", "mnt")
	if err := os.MkdirAll(at, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := mount.Bind(data, at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = mount.DetachBelow(root) })
	v := aVolume(root)
	k := &Keeper{Client: fake.NewClientset(v), Node: "n", Root: root, Mounted: nobody, Log: slog.New(slog.DiscardHandler)}
	if err := k.look(t.Context(), v); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(data, "precious")); err != nil {
		t.Errorf("what was mounted: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "pvc-1")); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}

// What the keeper saw of a volume may be old: the API has the last word.
func TestLook(t *testing.T) {
	for name, c := range map[string]struct {
		now     func(*corev1.PersistentVolume)
		removed bool
	}{
		"the same":        {func(*corev1.PersistentVolume) {}, true},
		"bound again":     {func(v *corev1.PersistentVolume) { v.Status.Phase = corev1.VolumeBound }, false},
		"to be kept":      {func(v *corev1.PersistentVolume) { v.Spec.PersistentVolumeReclaimPolicy = "Retain" }, false},
		"another":         {func(v *corev1.PersistentVolume) { v.UID = "w" }, false},
		"another, stays":  {func(v *corev1.PersistentVolume) { v.UID, v.DeletionTimestamp = "w", nil }, false},
		"another's label": {func(v *corev1.PersistentVolume) { v.Labels[NodeLabel] = "m" }, false},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			if err := os.MkdirAll(filepath.Join(root, "pvc-1"), 0o755); err != nil {
				t.Fatal(err)
			}
			k := &Keeper{Client: fake.NewClientset(aVolume(root, c.now)), Node: "n", Root: root, Mounted: nobody, Log: slog.New(slog.DiscardHandler)}
			if err := k.look(t.Context(), aVolume(root)); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(root, "pvc-1")); os.IsNotExist(err) != c.removed {
				t.Errorf("the directory: %v", err)
			}
		})
	}
}

// A keeper that begins later finds what is to be done, and only what is its own.
func TestRun(t *testing.T) {
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "pvc-1"), 0o755); err != nil {
		t.Fatal(err)
	}
	k := &Keeper{Client: fake.NewClientset(aVolume(root)), Node: "n", Root: root, Mounted: nobody, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- k.Run(ctx) }()
	for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		v, err := k.Client.CoreV1().PersistentVolumes().Get(ctx, "pvc-1", metav1.GetOptions{})
		if apierrors.IsNotFound(err) || err == nil && len(v.Finalizers) == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the volume is not let go")
		}
	}
	if _, err := os.Stat(filepath.Join(root, "pvc-1")); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
