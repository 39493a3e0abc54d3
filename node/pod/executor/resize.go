package executor

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/node/cri"
	"github.com/pintle-io/pintle/node/pod/allocation"
	"github.com/pintle-io/pintle/node/pod/lifecycle"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/resize"
)

// Resizer brings pods to what they were allocated.
type Resizer struct {
	Runtime interface {
		UpdateResources(ctx context.Context, id string, r *runtimeapi.LinuxContainerResources) error
	}
	Groups Groups
	Events Events
	// Node describes the node; it is called at each use.
	Node  func() *podspec.Node
	Clock clock.PassiveClock
	Log   *slog.Logger
}

// Resize gives the pod's group room for what comes, has the instances ended
// that must be replaced, changes the others, and then bounds the group. What it
// has done is in the pod's allocation, and in its events. outdated tells that
// there is a newer allocation meanwhile.
func (z *Resizer) Resize(ctx context.Context, a lifecycle.Resize, of *allocation.Pod) (outdated bool, err error) {
	outdated, err = z.begin(&a, of)
	if err == nil && !outdated && (len(a.Work.Updates) > 0 || a.Work.After != nil) {
		var done []resize.Update
		done, err = z.update(ctx, &a)
		outdated, err = z.note(&a, of, done, err)
	}
	if err != nil && !outdated && !errors.Is(err, context.Canceled) {
		z.failed(a.Pod, of, err)
	}
	return outdated, err
}

// begin is what comes before the changes of instances.
func (z *Resizer) begin(a *lifecycle.Resize, of *allocation.Pod) (outdated bool, err error) {
	s, w := of.State(), &a.Work
	if s.Number != a.Number {
		return true, nil
	}
	if w.Before != s.Record.Group {
		if err := z.Groups.limit(a.Pod, w.Before); err != nil {
			return false, err
		}
	}
	if w.Begun(s.Record) {
		return false, nil
	}
	return false, of.Change(func(r *resize.Record, _ int) { r.Group, r.Replaced = w.Before, w.Replace })
}

// update changes running instances, and then the pod's group. It returns what
// was done, which is less than all if it fails.
func (z *Resizer) update(ctx context.Context, a *lifecycle.Resize) (done []resize.Update, err error) {
	// What an instance, or the pod for "", uses in bytes and could not give back
	// at once.
	usage := func(id string) (int64, error) {
		u, err := z.Groups.System.Usage(path.Join(z.Groups.Of(a.Pod.UID), id))
		return int64(u.Memory), err
	}
	if err := a.Work.Check(usage); err != nil {
		return nil, err
	}
	for _, u := range a.Work.Updates {
		if err := z.Runtime.UpdateResources(ctx, u.ID, podspec.ContainerResources(a.Pod, podspec.Find(a.Pod, u.Name), z.Node())); err != nil {
			return done, err
		}
		done = append(done, u)
	}
	if a.Work.After != nil {
		err = z.Groups.limit(a.Pod, *a.Work.After)
	}
	return done, err
}

// note keeps what was done, and ends the resize if that was all.
func (z *Resizer) note(a *lifecycle.Resize, of *allocation.Pod, done []resize.Update, failed error) (outdated bool, err error) {
	over := failed == nil && a.Work.After != nil
	err = of.Change(func(r *resize.Record, number int) {
		for id := range r.Resized {
			if !slices.Contains(a.Instances, id) {
				delete(r.Resized, id)
			}
		}
		for _, u := range done {
			if r.Resized == nil {
				r.Resized = map[string]corev1.ResourceRequirements{}
			}
			r.Resized[u.ID] = u.Resources
		}
		outdated = number != a.Number
		if over && !outdated {
			r.Done()
		}
	})
	err = cmp.Or(failed, err)
	if err == nil && over {
		if generation, ok := of.Completed(a.Number); ok {
			z.Events.Tell(a.Pod, "", corev1.EventTypeNormal, resize.Completed, resize.Describe("Pod resize completed", a.Pod, generation, ""))
		}
	}
	return outdated, err
}

// failed tells why a resize does not come on, once for each reason.
func (z *Resizer) failed(pod *corev1.Pod, of *allocation.Pod, err error) {
	text := cri.Message(err)
	generation, news := of.Fail(resize.Condition{Reason: corev1.PodReasonError, Message: text, Since: z.Clock.Now()})
	if news {
		z.Log.Info("pod not resized", "namespace", pod.Namespace, "name", pod.Name, "uid", pod.UID, "error", err)
		z.Events.Tell(pod, "", corev1.EventTypeWarning, resize.Failed, resize.Describe("Pod resize error", pod, generation, text))
	}
}
