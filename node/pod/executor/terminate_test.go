package executor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

func portNamed(name string) intstr.IntOrString { return intstr.FromString(name) }

// newTerminator works on rt, with an API that has pod.
func newTerminator(t *testing.T, rt *recorded, pod *corev1.Pod) (*Terminator, *fake.Clientset) {
	client := fake.NewClientset(pod)
	real := clock.RealClock{}
	return &Terminator{Runtime: rt, Pods: client.CoreV1(), Sandboxes: newSandboxes(t, rt), DrainTimeout: time.Minute, Log: slog.New(slog.DiscardHandler),
		Stopper: &Stopper{Runtime: rt, Hooks: &Hooks{Clock: real}, Events: Events{Recorder: &record.FakeRecorder{}}, Clock: real}}, client
}

// TestTerminate: a pod of which something runs is drained, then its containers
// are stopped, then its sandboxes; and the last look is the answer, with the
// messages that containers left.
func TestTerminate(t *testing.T) {
	message := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(message, []byte("why it ended"), 0o600); err != nil {
		t.Fatal(err)
	}
	const stop = "stop c 2s" // what a container gets whatever was used up before
	running := &state.Pod{Sandboxes: []state.Sandbox{{ID: "s", Ready: true, IPs: []string{"10.0.0.1"}}}, Containers: []state.Container{{ID: "c", Name: "app", Phase: state.Running}}}
	ended := &state.Pod{Sandboxes: []state.Sandbox{{ID: "s"}}, Containers: []state.Container{{ID: "c", Name: "app", Phase: state.Exited}}}
	for name, c := range map[string]struct {
		seen  *state.Pod
		final bool
		drain error
		fails string
		want  []string
	}{
		"what runs":                    {seen: running, want: []string{"drain", stop, "stop s", "look"}},
		"what runs no more":            {seen: ended, want: []string{"stop s", "look"}},
		"nothing":                      {seen: &state.Pod{}, want: []string{"look"}},
		"that does not drain":          {seen: running, drain: errRuntime, want: []string{"drain", stop, "stop s", "look"}},
		"of a final pod":               {seen: running, final: true, want: []string{stop, "stop s", "look"}},
		"a container that does not":    {seen: running, fails: stop, want: []string{"drain", stop}},
		"a sandbox that does not":      {seen: running, fails: "stop s", want: []string{"drain", stop, "stop s"}},
		"with a runtime that is blind": {seen: ended, fails: "look", want: []string{"stop s", "look"}},
	} {
		t.Run(name, func(t *testing.T) {
			rt := &recorded{fails: c.fails, shows: []state.Pod{{Containers: []state.Container{
				{ID: "c", TerminationMessagePath: message}, {ID: "d", Finished: true, Message: "known before", TerminationMessagePath: message}}}}}
			pod := somePod(func(p *corev1.Pod) {
				if c.final {
					p.Status.Phase = corev1.PodFailed
				}
			})
			e, _ := newTerminator(t, rt, pod)
			e.Draining = func(context.Context, *corev1.Pod) error { _ = rt.call("drain"); return c.drain }
			last, err := e.Terminate(t.Context(), lifecycle.Terminate{Pod: pod, Observed: c.seen}, NewPeriod(clock.RealClock{}, time.Now()))
			rt.wants(t, c.want...)
			if c.fails != "" {
				if !errors.Is(err, errRuntime) || last != nil {
					t.Errorf("got %v, %v", last, err)
				}
				return
			}
			if err != nil || last.Containers[0].Message != "why it ended" || last.Containers[1].Message != "known before" {
				t.Errorf("got %+v, %v", last, err)
			}
		})
	}
}

// TestCleanup: everything of the pod goes before its object does, which goes
// only with its status told, and if it is still that pod's.
func TestCleanup(t *testing.T) {
	last := &state.Pod{Sandboxes: []state.Sandbox{{ID: "s"}}, Containers: []state.Container{{ID: "lost"}}}
	all := []string{"remove s", "remove lost", "tear down", "look"}
	gone := apierrors.NewNotFound(corev1.Resource("pods"), "web")
	for name, c := range map[string]struct {
		silent  bool // no status
		fails   string
		shows   []state.Pod
		api     error
		want    []string
		deletes bool
		err     bool
	}{
		"all":                        {want: all, deletes: true},
		"of a pod that the API lost": {silent: true, want: all},
		"that is gone meanwhile":     {api: gone, want: all, deletes: true},
		"that is another by now":     {api: apierrors.NewConflict(corev1.Resource("pods"), "web", errRuntime), want: all, deletes: true},
		"that cannot be deleted":     {api: apierrors.NewInternalError(errRuntime), want: all, deletes: true, err: true},
		"a sandbox stays":            {fails: "remove s", want: all[:1], err: true},
		"a volume stays":             {fails: "tear down", want: all[:3], err: true},
		"the runtime has more":       {shows: []state.Pod{*last}, want: all, err: true},
	} {
		t.Run(name, func(t *testing.T) {
			rt := &recorded{fails: c.fails, shows: c.shows}
			pod := somePod()
			e, client := newTerminator(t, rt, pod)
			var deleted []types.UID
			client.PrependReactor("delete", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
				o := a.(ktesting.DeleteActionImpl).DeleteOptions
				if *o.GracePeriodSeconds != 0 {
					t.Errorf("deleted within %d s", *o.GracePeriodSeconds)
				}
				deleted = append(deleted, *o.Preconditions.UID)
				return true, nil, c.api
			})
			logs := podspec.LogDirectory(e.Sandboxes.Node().Logs, pod)
			if err := os.MkdirAll(logs, 0o700); err != nil {
				t.Fatal(err)
			}
			told := false
			tell := func(context.Context) { told = true }
			if c.silent {
				tell = nil
			}
			if err := e.Cleanup(t.Context(), lifecycle.Cleanup{Pod: pod, Last: last}, tell); (err != nil) != c.err {
				t.Errorf("got %v", err)
			}
			rt.wants(t, c.want...)
			if told == c.silent {
				t.Errorf("told: %v", told)
			}
			if (len(deleted) == 1 && deleted[0] == pod.UID) != c.deletes || len(deleted) > 1 {
				t.Errorf("deleted %v, want it: %v", deleted, c.deletes)
			}
			if _, err := os.Stat(logs); len(c.want) == len(all) && !os.IsNotExist(err) {
				t.Errorf("its logs: %v", err)
			}
		})
	}
}
