package executor

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// classes are RuntimeClasses, by handler.
type classes map[string]string

func (c classes) Get(_ context.Context, name string, _ metav1.GetOptions) (*nodev1.RuntimeClass, error) {
	if c[name] == "" {
		return nil, errors.New("no such class")
	}
	return &nodev1.RuntimeClass{Handler: c[name]}, nil
}

// newSandboxes work on a directory in place of the machine's groups.
func newSandboxes(t *testing.T, rt *recorded) *Sandboxes {
	logs := t.TempDir()
	return &Sandboxes{Runtime: rt, Classes: classes{"gvisor": "runsc"}, Volumes: rt, Slots: make(Slots, 1),
		Groups: Groups{System: &cgroup.System{V1: map[string]string{"freezer": t.TempDir()}}, Parent: "pods"},
		Node:   func() *podspec.Node { return &podspec.Node{Name: "n", Logs: logs} }}
}

// TestCreateSandbox: what is left of those before goes first, then the pod has a
// group and a directory of logs, and only then a sandbox.
func TestCreateSandbox(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		old    []string
		fails  string
		want   []string
		err    string
	}{
		"the first":              {want: []string{"run 3"}},
		"after others":           {old: []string{"x", "y"}, want: []string{"stop x", "stop y", "run 3"}},
		"one that does not stop": {old: []string{"x", "y"}, fails: "stop x", want: []string{"stop x"}, err: errRuntime.Error()},
		"of a class":             {change: func(p *corev1.Pod) { p.Spec.RuntimeClassName = ptr.To("gvisor") }, want: []string{"run 3 runsc"}},
		"of an unknown class":    {change: func(p *corev1.Pod) { p.Spec.RuntimeClassName = ptr.To("none") }, err: "runtime class: no such class"},
		"with user namespaces":   {change: func(p *corev1.Pod) { p.Spec.HostUsers = ptr.To(false) }, err: "hostUsers"},
		"that does not run":      {fails: "run 3", want: []string{"run 3"}, err: errRuntime.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			rt := &recorded{fails: c.fails}
			s := newSandboxes(t, rt)
			pod := somePod()
			if c.change != nil {
				c.change(pod)
			}
			err := s.Create(t.Context(), lifecycle.CreateSandbox{Pod: pod, Attempt: 3, Old: c.old})
			if (err != nil) != (c.err != "") || err != nil && !strings.Contains(err.Error(), c.err) {
				t.Errorf("got %v, want %q", err, c.err)
			}
			rt.wants(t, c.want...)
			if len(s.Slots) != 0 {
				t.Error("it keeps its slot")
			}
			if _, err := os.Stat(podspec.LogDirectory(s.Node().Logs, pod)); slices.Contains(c.want, "run 3") && err != nil {
				t.Errorf("no directory of logs before the sandbox: %v", err)
			}
			if runs := len(c.want) > 0 && strings.HasPrefix(c.want[len(c.want)-1], "run"); runs && !s.Groups.System.Exists(s.Groups.Of("u")) {
				t.Error("no group before the sandbox")
			}
		})
	}
}

// TestCreateSandboxWaits: for a slot, no longer than its context.
func TestCreateSandboxWaits(t *testing.T) {
	rt := &recorded{}
	s := newSandboxes(t, rt)
	s.Slots <- struct{}{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Create(ctx, lifecycle.CreateSandbox{Pod: somePod(), Old: []string{"x"}}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	rt.wants(t)
}

// TestRemoveDead: every instance and sandbox is tried; the log of one that went
// goes with its rotated parts, that of one that stayed stays.
func TestRemoveDead(t *testing.T) {
	rt := &recorded{fails: "remove stays"}
	s := newSandboxes(t, rt)
	dir := t.TempDir()
	for _, f := range []string{"gone.log", "gone.log.20260101-000000.gz", "stays.log", "gone.logs"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := s.RemoveDead(t.Context(), lifecycle.RemoveDead{Sandboxes: []string{"s"}, Containers: []state.Container{
		{ID: "stays", LogPath: filepath.Join(dir, "stays.log")}, {ID: "gone", LogPath: filepath.Join(dir, "gone.log")}, {ID: "silent"}}})
	if !errors.Is(err, errRuntime) {
		t.Errorf("got %v", err)
	}
	rt.wants(t, "remove stays", "remove gone", "remove silent", "remove s")
	left, err := filepath.Glob(filepath.Join(dir, "*"))
	if want := []string{filepath.Join(dir, "gone.logs"), filepath.Join(dir, "stays.log")}; err != nil || !slices.Equal(left, want) {
		t.Errorf("left %v, %v, want %v", left, err, want)
	}
}

// TestFree: sandboxes before volumes, which something may still hold, and the
// group last.
func TestFree(t *testing.T) {
	for fails, c := range map[string]struct {
		want  []string
		group bool // is left
	}{
		"":          {want: []string{"stop a", "stop b", "tear down"}},
		"stop a":    {want: []string{"stop a"}, group: true},
		"tear down": {want: []string{"stop a", "stop b", "tear down"}, group: true},
	} {
		t.Run(fails, func(t *testing.T) {
			rt := &recorded{fails: fails}
			s := newSandboxes(t, rt)
			if err := s.Groups.System.Create(s.Groups.Of("u")); err != nil {
				t.Fatal(err)
			}
			if err := s.Free(t.Context(), "u", []string{"a", "b"}); (err != nil) != (fails != "") {
				t.Errorf("got %v", err)
			}
			rt.wants(t, c.want...)
			if left := s.Groups.System.Exists(s.Groups.Of("u")); left != c.group {
				t.Errorf("group left: %v, want %v", left, c.group)
			}
		})
	}
}
