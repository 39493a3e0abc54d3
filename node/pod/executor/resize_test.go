package executor

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/client-go/tools/record"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/pod/allocation"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
)

// updated calls a function when an instance is changed.
type updated struct {
	*recorded
	then func()
}

func (u updated) UpdateResources(ctx context.Context, id string, l *runtimeapi.LinuxContainerResources) error {
	if u.then != nil {
		u.then()
	}
	return u.recorded.UpdateResources(ctx, id, l)
}

func limited(name, memory string) corev1.Container {
	return corev1.Container{Name: name, Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse(memory)}}}
}

// TestResize: instances are changed in order; what was done is kept, also when
// the next one fails; and who has been overtaken by a newer allocation ends
// nothing.
func TestResize(t *testing.T) {
	const other = 5 // an allocation that is not the newest
	for name, c := range map[string]struct {
		number   int
		after    bool
		fails    string
		overtake bool
		want     []string
		resized  []string
		outdated bool
		err      error
		applying bool // in the end
		event    string
	}{
		"all":               {number: 1, after: true, want: []string{"update a 1024", "update b 2048"}, resized: []string{"a", "b"}, event: "Normal ResizeCompleted"},
		"of what was there": {number: other, after: true, outdated: true, applying: true},
		"a part":            {number: 1, want: []string{"update a 1024", "update b 2048"}, resized: []string{"a", "b"}, applying: true},
		"one fails": {number: 1, after: true, fails: "update b 2048", want: []string{"update a 1024", "update b 2048"}, resized: []string{"a"}, err: errRuntime, applying: true,
			event: "Warning ResizeError"},
		"overtaken": {number: 1, after: true, overtake: true, want: []string{"update a 1024", "update b 2048"}, resized: []string{"a", "b"}, outdated: true, applying: true},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Unix(1, 0)
			pod := somePod(func(p *corev1.Pod) {
				p.Spec.Containers = []corev1.Container{limited("app", "1024"), limited("side", "2048")}
			})
			of := allocation.New("u", nil, 0, slog.New(slog.DiscardHandler))
			of.Restore(somePod())
			if err := of.Grant(pod, now); err != nil {
				t.Fatal(err)
			}
			group := of.State().Record.Group
			if err := of.Change(func(r *resize.Record, _ int) {
				r.Resized = map[string]corev1.ResourceRequirements{"gone": {}}
			}); err != nil {
				t.Fatal(err)
			}
			rt := updated{recorded: &recorded{fails: c.fails}}
			if c.overtake {
				rt.then = func() {
					rt.then = nil
					if of.State().Number == 1 {
						_ = of.Grant(somePod(), now) // keeps nothing, so it cannot fail
					}
				}
			}
			f := record.NewFakeRecorder(10)
			z := &Resizer{Runtime: &rt, Groups: Groups{System: &cgroup.System{}}, Events: Events{Recorder: f}, Clock: clocktesting.NewFakePassiveClock(now),
				Node: func() *podspec.Node { return &podspec.Node{} }, Log: slog.New(slog.DiscardHandler)}
			a := lifecycle.Resize{Pod: pod, Number: c.number, Instances: []string{"a", "b"}, Work: resize.Work{Before: group,
				Updates: []resize.Update{{ID: "a", Name: "app"}, {ID: "b", Name: "side"}}}}
			if c.after {
				a.Work.After = &group
			}
			for range 2 { // a failure is told once
				outdated, err := z.Resize(t.Context(), a, of)
				if outdated != c.outdated || !errors.Is(err, c.err) {
					t.Errorf("outdated %v, %v; want %v, %v", outdated, err, c.outdated, c.err)
				}
				if c.fails == "" {
					break
				}
			}
			if rt.said = rt.said[:min(len(rt.said), len(c.want))]; true {
				rt.wants(t, c.want...)
			}
			s := of.State()
			var resized []string
			for id := range s.Record.Resized {
				resized = append(resized, id)
			}
			slices.Sort(resized)
			if len(c.want) > 0 && !slices.Equal(resized, c.resized) {
				t.Errorf("kept as changed: %v, want %v", resized, c.resized)
			}
			if (s.Applying != nil) != c.applying {
				t.Errorf("under way in the end: %+v, want %v", s.Applying, c.applying)
			}
			events := told(f)
			if c.event == "" && len(events) > 0 || c.event != "" && (len(events) != 1 || !strings.HasPrefix(events[0], c.event)) {
				t.Errorf("events %q, want one %q", events, c.event)
			}
		})
	}
}
