package resize

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/podspec"
	"github.com/pintle-io/pintle/node/state"
)

// Update changes what a running instance may use, without a restart.
type Update struct {
	ID, Name string
	// Was is what the instance runs with, Resources what it is to run with.
	Was, Resources corev1.ResourceRequirements
}

// Work is what brings a pod to what it was allocated. A pod as a whole is
// never bounded more tightly than one of its containers: its group grows
// before they do, and shrinks after them.
type Work struct {
	// Before limits the pod's group until After does. It is the looser of what
	// there is and what is to be, for each bound.
	Before cgroup.Limits
	// Updates are in the order in which they are made: those first that give
	// memory back.
	Updates []Update
	// Replace are instances that must be replaced by others.
	Replace []string
	// After limits the pod's group once Updates are made; nil when that has to
	// wait for instances that are being made or replaced.
	After *cgroup.Limits
}

// Next decides. pod is as it was allocated, limits are those of its group. busy
// tells that an instance of a container is being made or ended, whose outcome
// has to be waited for.
func Next(pod *corev1.Pod, seen *state.Pod, r *Record, limits cgroup.Limits, busy func(container string) bool) Work {
	w := Work{Before: looser(r.Group, limits)}
	waits := false
	for _, c := range podspec.Containers(pod) {
		if podspec.IsEphemeral(pod, c.Name) {
			continue
		}
		waits = waits || busy(c.Name)
		cur := seen.Latest(c.Name)
		if cur == nil {
			continue
		}
		was := &corev1.ResourceRequirements{} // of an instance that another kind of agent made
		if cur.Granted != nil {
			was = cur.Granted
		}
		is := podspec.Effective(pod, c)
		switch {
		case same(was, &is):
		case cur.Phase == state.Running && restarts(c, was, &is):
			w.Replace = append(w.Replace, cur.ID)
		case cur.Phase == state.Running && !busy(c.Name):
			w.Updates = append(w.Updates, Update{ID: cur.ID, Name: c.Name, Was: *was, Resources: is})
		case slices.Contains(r.Replaced, cur.ID):
			w.Replace = append(w.Replace, cur.ID) // its successor is not there yet
		}
	}
	slices.SortStableFunc(w.Updates, func(a, b Update) int { return cmp.Compare(a.growth(), b.growth()) })
	if len(w.Replace) == 0 && !waits {
		w.After = &limits
	}
	return w
}

// Begun reports whether a record says already what must be known before the work
// is done.
func (w *Work) Begun(r *Record) bool {
	return w.Before == r.Group && slices.Equal(w.Replace, r.Replaced)
}

// same compares what can be resized.
func same(a, b *corev1.ResourceRequirements) bool { return len(changed(a, b)) == 0 }

// changed are the resources of which there is another request or limit.
func changed(a, b *corev1.ResourceRequirements) []corev1.ResourceName {
	var out []corev1.ResourceName
	for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
		request, limit := a.Requests[name], a.Limits[name]
		if request.Cmp(b.Requests[name]) != 0 || limit.Cmp(b.Limits[name]) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// restarts reports whether a container wants to be restarted for the change
// from what it runs with. Not to be is the default.
func restarts(c *corev1.Container, was, is *corev1.ResourceRequirements) bool {
	return slices.ContainsFunc(changed(was, is), func(name corev1.ResourceName) bool {
		return slices.ContainsFunc(c.ResizePolicy, func(p corev1.ContainerResizePolicy) bool {
			return p.ResourceName == name && p.RestartPolicy == corev1.RestartContainer
		})
	})
}

// growth is by how much a memory limit grows; to have none is to have all.
func (u *Update) growth() int64 {
	was, is := u.Was.Limits.Memory().Value(), u.Resources.Limits.Memory().Value()
	switch {
	case was == is:
		return 0
	case is == 0:
		return 1
	case was == 0:
		return -1
	}
	return is - was
}

func looser(a, b cgroup.Limits) cgroup.Limits {
	bound := func(a, b int64) int64 {
		if a == 0 || b == 0 {
			return 0 // none
		}
		return max(a, b)
	}
	return cgroup.Limits{PIDs: bound(a.PIDs, b.PIDs), Memory: bound(a.Memory, b.Memory),
		CPUQuota: bound(a.CPUQuota, b.CPUQuota), CPUShares: max(a.CPUShares, b.CPUShares)}
}

// Check refuses work that would take memory away which is in use: the kernel
// would end processes for it. usage is that of an instance, or of the whole
// pod for "".
// RATIONALE.md: "Why may a memory limit sink below what a container's group is
// charged?"
func (w *Work) Check(usage func(id string) (int64, error)) error {
	var errs []error
	check := func(id, what string, limit int64) {
		used, err := usage(id)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("memory usage of %s: %w", what, err))
		case used >= limit:
			errs = append(errs, fmt.Errorf("attempting to set %s memory limit (%d) below current usage (%d)", what, limit, used))
		}
	}
	if w.After != nil && w.After.Memory != 0 && w.After.Memory != w.Before.Memory {
		check("", "pod", w.After.Memory)
	}
	for i := range w.Updates {
		if u := &w.Updates[i]; u.growth() < 0 {
			check(u.ID, fmt.Sprintf("container %q", u.Name), u.Resources.Limits.Memory().Value())
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return fmt.Errorf("cannot decrease memory limits: %w", join(errs))
}

// join puts errors into one line, which is what a condition's message is.
func join(errs []error) error {
	if len(errs) == 1 {
		return errs[0]
	}
	text := ""
	for i, err := range errs {
		if i > 0 {
			text += ", "
		}
		text += err.Error()
	}
	return errors.New("[" + text + "]")
}
