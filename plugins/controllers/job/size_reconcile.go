package job

import (
	"cmp"
	"slices"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// resize moves the number of pods towards the number wanted: either it removes
// some or it makes some.
func (v *view) resize(p *plan) {
	want := v.wanted()
	if p.remove = v.surplus(len(v.active) - want); len(p.remove) > 0 {
		if len(p.remove) > maxBatch {
			p.remove, p.more = p.remove[:maxBatch], true
		}
		return
	}
	missing := want - len(v.active)
	if replacesFailedOnly(v.job) {
		missing -= int(v.terminating)
	}
	if missing <= 0 || suspended(v.job) {
		return
	}
	perIndex := v.job.Spec.BackoffLimitPerIndex != nil
	if d := p.known.delay(v.now); d > 0 && !perIndex {
		p.again(d)
		return
	}
	if !indexed(v.job) {
		p.create = slices.Repeat([]creation{{index: unknownIndex}}, min(missing, maxBatch))
		p.more = missing > maxBatch
		return
	}
	v.fill(p, missing)
}

// fill makes pods for up to n indexes. Those that wait for their back-off, or
// failed for good, do not keep others from it, nor ask for another batch.
func (v *view) fill(p *plan, n int) {
	for _, i := range v.pending(n) {
		last := v.waiting[i]
		if d := delayOf(last, v.now); d > 0 {
			p.again(d)
			continue
		}
		if len(p.create) == maxBatch {
			p.more = true
			return
		}
		p.create = append(p.create, v.creation(i, last))
	}
}

// wanted is how many pods should be active.
func (v *view) wanted() int {
	switch parallelism := int(deref(v.job.Spec.Parallelism, 1)); {
	case suspended(v.job):
		return 0
	case v.job.Spec.Completions != nil:
		return max(min(v.completions()-int(v.succeeded), parallelism), 0)
	case v.succeeded > 0: // one success is enough; those that run come to their end
		return len(v.active)
	default:
		return parallelism
	}
}

// pending are up to n indexes without a pod that is active or has succeeded, and
// that did not fail for good.
func (v *view) pending(n int) []int {
	var taken []int
	for _, p := range v.pods {
		if p.index() != unknownIndex && (p.active() || p.terminating() && replacesFailedOnly(v.job)) {
			taken = append(taken, p.index())
		}
	}
	return v.done.with(taken...).union(v.broken).without(n, v.completions())
}

// creation is the pod of an index, in place of one that failed.
func (v *view) creation(i int, last *pod) creation {
	c := creation{index: i}
	if last == nil {
		return c
	}
	c.failures, c.ignored = number(last, batchv1.JobIndexFailureCountAnnotation), number(last, batchv1.JobIndexIgnoredFailureCountAnnotation)
	if v.judge(last).counts() {
		c.failures++
	} else {
		c.ignored++
	}
	return c
}

// surplus are the pods to remove: at least n, and with indexes all that have
// none, one out of range, or one that another pod has too.
func (v *view) surplus(n int) []*pod {
	var holders map[int]int
	wrong := 0 // pods with indexes that they should not have
	if indexed(v.job) {
		holders = make(map[int]int, len(v.active))
		for _, p := range v.active {
			if holders[p.index()]++; !v.valid(p) || holders[p.index()] > 1 {
				wrong++
			}
		}
	}
	if n <= 0 && wrong == 0 {
		return nil // nearly always, and who is to go first need not be known
	}
	left := slices.Clone(v.active)
	slices.SortStableFunc(left, firstToGo)
	var out []*pod
	if wrong > 0 {
		left = slices.DeleteFunc(left, func(p *pod) bool {
			extra := !v.valid(p) || holders[p.index()] > 1
			if extra {
				holders[p.index()]--
				out = append(out, p)
			}
			return extra
		})
	}
	if more := n - len(out); more > 0 {
		out = append(out, left[:min(more, len(left))]...)
	}
	return out
}

// firstToGo puts the pod first that has come less far: without a node, not
// running, not ready, ready for a shorter time, restarted more often, younger.
func firstToGo(a, b *pod) int {
	readyA, okA := a.readySince()
	readyB, okB := b.readySince()
	rank := func(p *pod) int {
		return slices.Index([]corev1.PodPhase{corev1.PodUnknown, corev1.PodRunning}, p.Status.Phase)
	}
	return cmp.Or(
		truth(a.Spec.NodeName != "")-truth(b.Spec.NodeName != ""),
		rank(a)-rank(b),
		truth(okA)-truth(okB),
		truth(okA && okB)*later(readyA, readyB),
		cmp.Compare(b.restarts(), a.restarts()),
		later(a.CreationTimestamp.Time(), b.CreationTimestamp.Time()),
	)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

// later puts the later of two times first; no time counts as the latest.
func later(a, b time.Time) int {
	if a.IsZero() != b.IsZero() {
		return truth(b.IsZero()) - truth(a.IsZero())
	}
	return b.Compare(a)
}
