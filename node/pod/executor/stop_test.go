package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/plan"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
)

// stopping is a runtime whose containers end when they are told to, or after a
// while.
type stopping struct {
	began time.Time
	takes map[string]time.Duration
	fails map[string]bool

	mu   sync.Mutex
	said []string
}

func (s *stopping) note(what, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, fmt.Sprintf("%s %s %s", time.Since(s.began), what, id))
}

func (s *stopping) StopContainer(ctx context.Context, id string, grace time.Duration) error {
	s.note(fmt.Sprint("stop ", grace), id)
	if s.fails[id] {
		return errors.New("no answer")
	}
	select {
	case <-time.After(min(s.takes[id], grace)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *stopping) hook(ctx context.Context, id string, _ []string, _ time.Duration) ([]byte, error) {
	s.note("hook", id)
	select {
	case <-time.After(s.takes["hook"]):
		return nil, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func kills(pod *corev1.Pod, ids ...string) []plan.Kill {
	var out []plan.Kill
	var before []string
	for _, id := range ids {
		out = append(out, plan.Kill{ID: id, Name: id, Running: true, After: slices.Clone(before)})
		before = append(before, id)
		pod.Spec.Containers = append(pod.Spec.Containers, corev1.Container{Name: id})
	}
	return out
}

// TestStopper: hooks run at once, stop signals in turn, all within one grace
// period but for the last two seconds; and the period may be shortened.
func TestStopper(t *testing.T) {
	for name, c := range map[string]struct {
		takes   map[string]time.Duration
		fails   string
		hooked  bool
		shorten time.Duration // after a second
		want    []string
		failed  bool
	}{
		"in turn":          {takes: map[string]time.Duration{"a": 3 * time.Second}, want: []string{"0s stop 10s a", "3s stop 7s b"}},
		"time is over":     {takes: map[string]time.Duration{"a": time.Hour}, want: []string{"0s stop 10s a", "10s stop 2s b"}},
		"hooks first":      {hooked: true, takes: map[string]time.Duration{"hook": 4 * time.Second}, want: []string{"0s hook a", "0s hook b", "4s stop 6s a", "4s stop 6s b"}},
		"a hook for ever":  {hooked: true, takes: map[string]time.Duration{"hook": time.Hour}, want: []string{"0s hook a", "0s hook b", "10s stop 2s a", "10s stop 2s b"}},
		"shortened":        {takes: map[string]time.Duration{"a": time.Hour}, shorten: 3 * time.Second, want: []string{"0s stop 10s a", "1s stop 2s a", "3s stop 2s b"}},
		"one does not end": {fails: "a", want: []string{"0s stop 10s a"}, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				rt := &stopping{began: time.Now(), takes: c.takes, fails: map[string]bool{c.fails: true}}
				real := clock.RealClock{}
				s := &Stopper{Runtime: rt, Hooks: &Hooks{Exec: rt.hook, Clock: real}, Events: Events{Recorder: &record.FakeRecorder{}}, Clock: real}
				pod := &corev1.Pod{}
				all := kills(pod, "a", "b")
				if c.hooked {
					for i := range pod.Spec.Containers {
						pod.Spec.Containers[i].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Exec: &corev1.ExecAction{Command: []string{"x"}}}}
					}
				}
				within := NewPeriod(real, rt.began.Add(10*time.Second))
				if c.shorten > 0 {
					time.AfterFunc(time.Second, func() { within.Shorten(rt.began.Add(c.shorten)) })
				}
				if err := s.all(t.Context(), pod, all, nil, within); (err != nil) != c.failed {
					t.Errorf("got %v", err)
				}
				slices.Sort(rt.said)
				slices.Sort(c.want)
				if diff := cmp.Diff(c.want, rt.said); diff != "" {
					t.Errorf("(-want +got):\n%s", diff)
				}
			})
		})
	}
}

// TestStopCanceled: a task that is called off ends at once, and says so.
func TestStopCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rt := &stopping{began: time.Now(), takes: map[string]time.Duration{"a": time.Hour}}
		real := clock.RealClock{}
		s := &Stopper{Runtime: rt, Hooks: &Hooks{Clock: real}, Events: Events{Recorder: &record.FakeRecorder{}}, Clock: real}
		pod := &corev1.Pod{}
		a := lifecycle.StopContainers{{Kill: kills(pod, "a")[0], Pod: pod, Until: time.Now().Add(time.Hour)}}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if err := s.Stop(ctx, a[0], NewTurns(a)); !errors.Is(err, context.Canceled) || time.Since(rt.began) != time.Second {
			t.Errorf("got %v after %s", err, time.Since(rt.began))
		}
	})
}
