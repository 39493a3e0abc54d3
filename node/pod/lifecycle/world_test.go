package lifecycle_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/image"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/probe"
	"github.com/pintle-io/pintle/node/resize"
	"github.com/pintle-io/pintle/node/state"
)

// world is a node without time or chance, with one pod. Commands:
//
//	step                  look, and do what is asked for, until nothing more is
//	exit NAME CODE        the container's process ends
//	lose-sandbox          the sandbox dies with all that is in it
//	unhealthy NAME TEXT…  the liveness probe fails for good
//	slow NAME             new instances have a startup probe to pass
//	started NAME          it has
//	after SECONDS         time passes
//	hang TASK / end TASK  tasks of the name do not end; they do, and go on
//	fail TASK TEXT…       they fail from now on
//	pull-fails NAME TEXT… the image cannot be had for a minute
//	lacks NAME TEXT…      a start lacks something that the pod refers to
//	mend TASK             they do not fail any more
//	delete GRACE          the API wants the pod gone
//	gone                  the API has it no more
//	source                something that volumes show has changed
//	network up|down
//	refuse REASON TEXT…   another agent, whose node does not take the pod up
//	agent                 another agent; the one before was killed
//	unrecorded            another agent, which finds no record of what it allocated
//	grant CPU MEMORY      the node allocates the first container other resources
//
// A TASK is a container, or sandbox, volumes, terminate, cleanup (which follows
// that), dead, resize.
type world struct {
	core     *lifecycle.Core
	pod      *corev1.Pod
	gone     bool
	stale    bool
	network  bool
	seen     *state.Pod
	record   *resize.Record
	number   int
	applying *resize.Condition
	now      time.Time
	health   map[string]probe.Health
	slow     map[string]bool
	hung     map[string]bool
	failing  map[string]lifecycle.Result
	tasks    []lifecycle.Task // under way
	canceled map[string]bool
	ids      int
	log      strings.Builder
}

func newWorld() *world {
	return &world{pod: &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web", UID: "u", Generation: 1}}, network: true,
		seen: &state.Pod{UID: "u"}, now: time.Unix(1_000_000, 0).UTC(), health: map[string]probe.Health{}, slow: map[string]bool{},
		hung: map[string]bool{}, failing: map[string]lifecycle.Result{}, canceled: map[string]bool{}}
}

// begin begins an agent.
func (w *world) begin(refused *admit.Refusal) {
	log := slog.New(slog.NewTextHandler(&w.log, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
	w.core = lifecycle.New(lifecycle.Config{Refused: refused, RuntimeName: "test", Log: log})
	w.tasks, w.canceled, w.number = nil, map[string]bool{}, 0
	if refused == nil && w.record == nil {
		w.record = &resize.Record{Allocated: resize.Of(w.pod)}
	}
}

func taskName(s string) string {
	if name, ok := map[string]string{"sandbox": lifecycle.SandboxTask, "volumes": lifecycle.VolumeTask, "terminate": lifecycle.TerminateTask,
		"dead": lifecycle.RemoveDeadTask, "resize": lifecycle.ResizeTask}[s]; ok {
		return name
	}
	return s
}

func shown(task string) string {
	if task == lifecycle.SandboxTask {
		return "sandbox"
	}
	return strings.TrimPrefix(task, "\x00")
}

func (w *world) command(f []string) error {
	n, _ := strconv.Atoi(f[len(f)-1])
	text := strings.Join(f[min(2, len(f)):], " ")
	switch f[0] {
	case "step":
		return w.step()
	case "exit":
		w.exit(w.seen.Latest(f[1]), int32(n))
	case "lose-sandbox":
		w.stopSandbox(w.seen.Sandboxes[0].ID)
	case "unhealthy":
		w.health[w.seen.Latest(f[1]).ID] = probe.Health{Started: true, Fault: text}
	case "slow":
		w.slow[f[1]] = true
	case "started":
		w.health[w.seen.Latest(f[1]).ID] = probe.Health{Started: true, Ready: true}
	case "after":
		w.now = w.now.Add(time.Duration(n) * time.Second)
	case "hang":
		w.hung[taskName(f[1])] = true
	case "end":
		delete(w.hung, taskName(f[1]))
		return w.step()
	case "fail":
		w.failing[taskName(f[1])] = lifecycle.Result{Err: errors.New(text), Reason: "RunContainerError"}
	case "lacks":
		w.failing[f[1]] = lifecycle.Result{Err: errors.New(text), Reason: "CreateContainerConfigError"}
	case "pull-fails":
		w.failing[f[1]] = lifecycle.Result{Err: errors.New(text), Reason: image.ErrImagePull, Until: w.now.Add(time.Minute)}
	case "mend":
		delete(w.failing, taskName(f[1]))
	case "delete":
		now, grace := metav1.NewTime(w.now), int64(n)
		w.pod.DeletionTimestamp, w.pod.DeletionGracePeriodSeconds = &now, &grace
	case "gone":
		w.gone = true
	case "source":
		w.stale = true
	case "network":
		w.network = f[1] == "up"
	case "refuse":
		w.begin(&admit.Refusal{Reason: f[1], Message: text})
	case "agent":
		w.begin(nil)
	case "unrecorded":
		w.record = nil
		w.begin(nil)
		w.record.Applying, w.record.Group = true, podspec.PodLimits(w.pod, 0)
	case "grant":
		list := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(f[1]), corev1.ResourceMemory: resource.MustParse(f[2])}
		w.pod.Generation++
		w.pod.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list, Limits: list.DeepCopy()}
		w.record.Grant(w.pod, func(p *corev1.Pod) cgroup.Limits { return podspec.PodLimits(p, 0) })
		w.number++
		w.applying = &resize.Condition{Generation: w.pod.Generation, Since: w.now}
	default:
		return errors.New("unknown command")
	}
	return nil
}

// step shows the runtime to the Core and does what it asks for, a task at a
// time, until nothing is left to do without something happening.
func (w *world) step() error {
	for range 60 {
		in := w.input()
		targets, _ := w.core.Targets(in)
		for _, t := range targets {
			if _, known := w.health[t.ID]; !known {
				w.health[t.ID] = probe.Health{Started: !w.slow[t.Container.Name], Ready: !w.slow[t.Container.Name]}
			}
		}
		actions, _ := w.core.Step(in)
		w.stale = false
		did := w.perform(actions)
		i := slices.IndexFunc(w.tasks, func(t lifecycle.Task) bool { return !w.hung[t.Name()] })
		if i >= 0 {
			t := w.tasks[i]
			w.tasks = slices.Delete(w.tasks, i, i+1)
			w.perform(w.core.Ended(w.now, w.do(t)))
		} else if !did {
			return nil
		}
		if w.core.Done() {
			w.say("  done")
			return nil
		}
	}
	return errors.New("does not come to rest")
}

func (w *world) input() lifecycle.Input {
	seen := *w.seen
	seen.Sandboxes, seen.Containers = slices.Clone(seen.Sandboxes), slices.Clone(seen.Containers)
	if w.record != nil {
		for i := range seen.Containers {
			c := &seen.Containers[i]
			if q, ok := w.record.Resized[c.ID]; ok {
				c.Granted = &q
			}
			c.Replace = slices.Contains(w.record.Replaced, c.ID)
		}
	}
	return lifecycle.Input{Now: w.now, Pod: w.pod, Gone: w.gone, Stale: w.stale, Observed: &seen, Record: w.record, Number: w.number, Applying: w.applying,
		Health: func(id string) probe.Health { return w.health[id] }, NodeIPs: []string{"10.0.0.1"}, NetworkReady: w.network}
}

// perform tells what was asked for, and reports whether it was anything but to
// follow what the pod refers to.
func (w *world) perform(actions []lifecycle.Action) (did bool) {
	for _, a := range actions {
		if _, ok := a.(lifecycle.Follow); ok {
			continue
		}
		did = true
		w.tell(a)
		switch a := a.(type) {
		case lifecycle.Report:
			p := w.pod.DeepCopy()
			p.Status = a.Status
			w.pod = p
		case lifecycle.Cancel:
			w.canceled[a.Task] = true
		case lifecycle.StopContainers:
			for _, s := range a {
				w.tasks = append(w.tasks, s)
			}
		case lifecycle.Task:
			w.tasks = append(w.tasks, a)
		}
	}
	return did
}

// do does a task, and tells how it went.
func (w *world) do(t lifecycle.Task) lifecycle.Result {
	r := w.failing[t.Name()]
	if _, second := t.(lifecycle.Cleanup); second {
		r = w.failing["cleanup"]
	}
	if w.canceled[t.Name()] {
		delete(w.canceled, t.Name())
		r.Err = context.Canceled
		if _, making := t.(lifecycle.CreateSandbox); !making {
			w.say("  %s is called off", shown(t.Name()))
		}
	}
	r.Task = t
	if _, making := t.(lifecycle.CreateSandbox); r.Err != nil && (!making || !errors.Is(r.Err, context.Canceled)) {
		return r
	}
	switch t := t.(type) {
	case lifecycle.CreateSandbox: // what the runtime is making comes to be
		w.ids++
		w.seen.Sandboxes = slices.Insert(w.seen.Sandboxes, 0, state.Sandbox{ID: fmt.Sprintf("sandbox%d", w.ids), Attempt: t.Attempt, Ready: true,
			CreatedAt: w.now, IPs: []string{"10.244.0.2"}})
	case lifecycle.StopSandbox:
		w.stopSandbox(t.ID)
	case lifecycle.StartContainer:
		w.create(t)
	case lifecycle.StopContainer:
		for i := range w.seen.Containers {
			if c := &w.seen.Containers[i]; c.ID == t.ID {
				w.exit(c, 0)
			}
		}
	case lifecycle.RemoveDead:
		w.seen.Containers = slices.DeleteFunc(w.seen.Containers, func(c state.Container) bool {
			return slices.ContainsFunc(t.Containers, func(o state.Container) bool { return o.ID == c.ID })
		})
	case lifecycle.TearDown:
		for _, id := range t.Sandboxes {
			w.stopSandbox(id)
		}
	case lifecycle.Resize:
		w.resize(t)
	case lifecycle.Terminate:
		for i := range w.seen.Sandboxes {
			w.stopSandbox(w.seen.Sandboxes[i].ID)
		}
		r.Last = w.input().Observed
	case lifecycle.Cleanup:
		w.seen = &state.Pod{UID: "u"}
	}
	return r
}

func (w *world) create(t lifecycle.StartContainer) {
	if t.Replace != "" {
		w.seen.Containers = slices.DeleteFunc(w.seen.Containers, func(c state.Container) bool { return c.ID == t.Replace })
	}
	w.ids++
	granted := podspec.Effective(t.Pod, t.Container)
	w.seen.Containers = slices.Insert(w.seen.Containers, 0, state.Container{ID: fmt.Sprintf("%s%d", t.Container.Name, w.ids), Name: t.Container.Name,
		Phase: state.Running, Restarts: t.Restarts, BackOff: t.BackOff, Round: t.Round, CreatedAt: w.now, StartedAt: w.now, SandboxID: t.Sandbox.ID,
		Hash: podspec.Hash(t.Container), Granted: &granted})
}

func (w *world) exit(c *state.Container, code int32) {
	if c.Phase != state.Exited {
		c.Phase, c.ExitCode, c.FinishedAt = state.Exited, code, w.now
	}
}

func (w *world) stopSandbox(id string) {
	for i := range w.seen.Sandboxes {
		if s := &w.seen.Sandboxes[i]; s.ID == id {
			s.Ready = false
		}
	}
	for i := range w.seen.Containers {
		if c := &w.seen.Containers[i]; c.SandboxID == id {
			w.exit(c, 137)
		}
	}
}

func (w *world) resize(t lifecycle.Resize) {
	r := *w.record
	r.Group, r.Replaced = t.Work.Before, t.Work.Replace
	r.Resized = map[string]corev1.ResourceRequirements{}
	for _, u := range t.Work.Updates {
		r.Resized[u.ID] = u.Resources
	}
	if t.Work.After != nil && t.Number == w.number {
		r.Done()
		w.applying = nil
	}
	w.record = &r
}
