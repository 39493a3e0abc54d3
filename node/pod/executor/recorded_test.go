package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

var errRuntime = errors.New("no answer")

// recorded is a runtime, with the pods' volumes and images, that notes what it
// is asked for, in order, and fails when it is told to.
type recorded struct {
	fails string      // the call that fails
	shows []state.Pod // what Pod returns, in turn; then nothing
	exec  error
	image map[string]*cri.Image // by reference

	mu   sync.Mutex
	said []string // guarded by mu
}

func (r *recorded) call(words ...any) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := strings.TrimSpace(fmt.Sprintln(words...))
	r.said = append(r.said, s)
	if s == r.fails {
		return errRuntime
	}
	return nil
}

func (r *recorded) RunSandbox(_ context.Context, cfg *runtimeapi.PodSandboxConfig, handler string) (string, error) {
	return "new", r.call("run", cfg.Metadata.Attempt, handler)
}
func (r *recorded) StopSandbox(_ context.Context, id string) error   { return r.call("stop", id) }
func (r *recorded) RemoveSandbox(_ context.Context, id string) error { return r.call("remove", id) }
func (r *recorded) RemoveContainer(_ context.Context, id string) error {
	return r.call("remove", id)
}
func (r *recorded) CreateContainer(_ context.Context, sandbox string, cfg *runtimeapi.ContainerConfig, _ *runtimeapi.PodSandboxConfig) (string, error) {
	return "made", r.call("create", cfg.Metadata.Name, "in", sandbox)
}
func (r *recorded) StartContainer(_ context.Context, id string) error { return r.call("start", id) }
func (r *recorded) StopContainer(_ context.Context, id string, grace time.Duration) error {
	return r.call("stop", id, grace)
}
func (r *recorded) UpdateResources(_ context.Context, id string, l *runtimeapi.LinuxContainerResources) error {
	return r.call("update", id, l.MemoryLimitInBytes)
}
func (r *recorded) Pod(_ context.Context, _ types.UID, _ *state.Pod) (*state.Pod, error) {
	err := r.call("look")
	p := &state.Pod{}
	if len(r.shows) > 0 {
		p, r.shows = &r.shows[0], r.shows[1:]
	}
	return p, err
}
func (r *recorded) TearDown(context.Context, types.UID) error { return r.call("tear down") }
func (r *recorded) Exec(_ context.Context, id string, command []string, _ time.Duration) ([]byte, error) {
	_ = r.call("exec", command[0], "in", id)
	return []byte("what it printed"), r.exec
}
func (r *recorded) Get(_ context.Context, ref string) (*cri.Image, error) { return r.image[ref], nil }
func (r *recorded) List(context.Context) ([]*cri.Image, error)            { return nil, nil }
func (r *recorded) Remove(context.Context, string) error                  { return nil }
func (r *recorded) FS(context.Context) (fs cri.ImageFS, err error)        { return fs, nil }
func (r *recorded) Pull(_ context.Context, ref string, _ *cri.Auth, _ *runtimeapi.PodSandboxConfig) (string, error) {
	if err := r.call("pull", ref); err != nil {
		return "", err
	}
	r.image[ref] = &cri.Image{ID: "id of " + ref}
	return "id of " + ref, nil
}
func (r *recorded) Mounts(_ context.Context, pod *corev1.Pod, c *corev1.Container, _ *podspec.Env, _ []string) (out []*runtimeapi.Mount, err error) {
	for _, m := range c.VolumeMounts {
		if src := imageSource(pod, m.Name); src != nil {
			out = append(out, &runtimeapi.Mount{ContainerPath: m.MountPath, Image: &runtimeapi.ImageSpec{Image: src.Reference, UserSpecifiedImage: src.Reference}})
		}
	}
	return out, r.call("mounts")
}
func (r *recorded) TerminationLog(*corev1.Pod, *corev1.Container, int32) (string, error) {
	return "", r.call("termination log")
}
func (r *recorded) ReadFile(*corev1.Pod, string, string) ([]byte, error) { return nil, nil }

// wants compares what was asked for.
func (r *recorded) wants(t *testing.T, want ...string) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if diff := cmp.Diff(want, r.said, cmp.Transformer("", func(s []string) []string { return append([]string{}, s...) })); diff != "" {
		t.Errorf("asked for (-want +got):\n%s", diff)
	}
}

// told are the events of a recorder so far.
func told(f *record.FakeRecorder) (out []string) {
	for {
		select {
		case e := <-f.Events:
			out = append(out, e)
		default:
			return out
		}
	}
}

func wantEvents(t *testing.T, f *record.FakeRecorder, want ...string) {
	t.Helper()
	if got := told(f); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
}

func somePod(change ...func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", UID: "u"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app", Image: "img:1"}}}}
	for _, f := range change {
		f(p)
	}
	return p
}
