package horizontalpodautoscaler

import (
	"slices"
	"time"

	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/controller"
)

// memory is what an instance knows of its autoscalers beyond their objects: what it
// recommended, how it scaled, which pods they select. It is nowhere else, as upstream's,
// which is why the plugin has one worker. An instance that is made anew (after a restart,
// another server's lead or a fault, or when idle ones are released) begins with the
// present replicas as its first recommendation: nothing shrinks for a whole stabilization
// window after that, policies count from there, and two autoscalers of the same pods are
// found when both were looked at. Nothing of it can be had from the status, whose
// lastScaleTime says neither by how much nor what was recommended.
//
// It is bounded: times beyond the longest window or period are forgotten, at most keep of
// each are remembered, and an autoscaler that is gone takes all of its own along.
type memory map[controller.Request]*history

// keep is how many recommendations and scalings are remembered: an hour, the longest
// window that the API allows, has 240 rounds, and changes of the spec make some more.
const keep = 512

// history is what is remembered of one autoscaler.
type history struct {
	uid             string
	selector        *metav1.LabelSelector // nil selects nothing, as before it is known
	recommendations []recommendation
	ups, downs      []scaling
}

// recommendation is what metrics asked for, before any limit.
type recommendation struct {
	replicas int32
	at       time.Time
}

// scaling is a change that was made; by is not negative.
type scaling struct {
	by int32
	at time.Time
}

// of is the history of an autoscaler: a new one when another object has its name.
func (m memory) of(q controller.Request, uid string) *history {
	h := m[q]
	if h == nil || h.uid != uid {
		h = &history{uid: uid}
		m[q] = h
	}
	return h
}

// sharing are the autoscalers of a namespace that select one of the pods, in order of
// their names.
func (m memory) sharing(namespace string, pods []*pod) (out []controller.Request) {
	for q, h := range m {
		if q.Namespace == namespace && slices.ContainsFunc(pods, func(p *pod) bool { return h.selector.Matches(p.Metadata.Labels) }) {
			out = append(out, q)
		}
	}
	slices.SortFunc(out, func(a, b controller.Request) int {
		if a.Name < b.Name {
			return -1
		}
		return 1
	})
	return out
}

// begin records the present replicas, unless something was recommended before.
func (h *history) begin(replicas int32, now time.Time) {
	if h.recommendations == nil {
		h.recommendations = []recommendation{{replicas, now}}
	}
}

// recommend records what metrics ask for and forgets what is older than all windows.
func (h *history) recommend(replicas int32, now time.Time, longest time.Duration) {
	h.recommendations = slices.DeleteFunc(h.recommendations, func(r recommendation) bool { return r.at.Before(now.Add(-longest)) })
	h.recommendations = last(append(h.recommendations, recommendation{replicas, now}))
}

// scaled records a change; without a behavior nobody asks for it.
func (h *history) scaled(b *autoscalingv2.HorizontalPodAutoscalerBehavior, from, to int32, now time.Time) {
	if b == nil {
		return
	}
	if to > from {
		h.ups = record(h.ups, scaling{to - from, now}, longestPeriod(b.ScaleUp))
		return
	}
	h.downs = record(h.downs, scaling{from - to, now}, longestPeriod(b.ScaleDown))
}

func record(list []scaling, s scaling, longest time.Duration) []scaling {
	list = slices.DeleteFunc(list, func(old scaling) bool { return old.at.Before(s.at.Add(-longest)) })
	return last(append(list, s))
}

func last[T any](list []T) []T {
	if n := len(list) - keep; n > 0 {
		return slices.Delete(list, 0, n)
	}
	return list
}

func longestPeriod(r *autoscalingv2.HPAScalingRules) time.Duration {
	longest := int32(0)
	if r != nil {
		for i := range r.Policies {
			longest = max(longest, r.Policies[i].PeriodSeconds)
		}
	}
	return time.Duration(longest) * time.Second
}

// forget drops what is remembered of an autoscaler.
func (m memory) forget(q controller.Request) {
	delete(m, q)
}
