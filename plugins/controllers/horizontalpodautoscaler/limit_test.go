package horizontalpodautoscaler

import (
	"testing"
	"time"

	autoscalingv2 "github.com/pintle-io/pintle/sdk/api/autoscaling/v2"
)

func rules(window int32, choose autoscalingv2.ScalingPolicySelect, policies ...autoscalingv2.HPAScalingPolicy) *autoscalingv2.HPAScalingRules {
	return &autoscalingv2.HPAScalingRules{StabilizationWindowSeconds: &window, SelectPolicy: &choose, Policies: policies}
}

func byPods(n, seconds int32) autoscalingv2.HPAScalingPolicy {
	return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PodsScalingPolicy, Value: n, PeriodSeconds: seconds}
}

func byPercent(n, seconds int32) autoscalingv2.HPAScalingPolicy {
	return autoscalingv2.HPAScalingPolicy{Type: autoscalingv2.PercentScalingPolicy, Value: n, PeriodSeconds: seconds}
}

func behavior(up, down *autoscalingv2.HPAScalingRules) *autoscalingv2.HorizontalPodAutoscalerBehavior {
	return &autoscalingv2.HorizontalPodAutoscalerBehavior{ScaleUp: up, ScaleDown: down}
}

const (
	most  = autoscalingv2.MaxChangePolicySelect
	least = autoscalingv2.MinChangePolicySelect
	never = autoscalingv2.DisabledPolicySelect
)

// free limits nothing.
var free = rules(0, most, byPods(1000, 60))

func recommended(n int32, before time.Duration) recommendation {
	return recommendation{n, now.Add(-before)}
}

// TestLimit: windows, bounds and policies, each as its condition tells it.
func TestLimit(t *testing.T) {
	m := time.Minute
	for name, c := range map[string]struct {
		behavior       *autoscalingv2.HorizontalPodAutoscalerBehavior
		before         []recommendation
		ups, downs     []scaling
		current, asked int32
		want           int32
		able, limits   string
		limited        bool
	}{
		// Without a behavior.
		"as asked":                   {current: 3, asked: 5, want: 5, able: "ReadyForNewScale", limits: "DesiredWithinRange"},
		"at most twice":              {current: 3, asked: 9, want: 6, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"four are free":              {current: 1, asked: 9, want: 4, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"too many":                   {current: 19, asked: 30, want: 20, able: "ReadyForNewScale", limits: "TooManyReplicas", limited: true},
		"too few":                    {current: 3, asked: 1, want: 2, able: "ReadyForNewScale", limits: "TooFewReplicas", limited: true},
		"held by what was":           {before: []recommendation{recommended(7, 4*m), recommended(15, 6*m)}, current: 8, asked: 3, want: 7, able: "ScaleDownStabilized", limits: "DesiredWithinRange"},
		"held by now":                {before: []recommendation{recommended(8, 0)}, current: 8, asked: 3, want: 8, able: "ScaleDownStabilized", limits: "DesiredWithinRange"},
		"old ones do not hold":       {before: []recommendation{recommended(8, 301*time.Second)}, current: 8, asked: 3, want: 3, able: "ReadyForNewScale", limits: "DesiredWithinRange"},
		"less before holds not back": {before: []recommendation{recommended(3, m)}, current: 4, asked: 6, want: 6, able: "ReadyForNewScale", limits: "DesiredWithinRange"},

		// Windows of a behavior.
		"up held":             {behavior: behavior(rules(120, most, byPods(99, 60)), free), before: []recommendation{recommended(5, m), recommended(3, 3*m)}, current: 4, asked: 9, want: 5, able: "ScaleUpStabilized", limits: "DesiredWithinRange"},
		"up held to nothing":  {behavior: behavior(rules(120, most, byPods(99, 60)), free), before: []recommendation{recommended(2, m)}, current: 4, asked: 9, want: 4, able: "ScaleUpStabilized", limits: "DesiredWithinRange"},
		"down held":           {behavior: behavior(free, rules(120, most, byPods(99, 60))), before: []recommendation{recommended(7, m), recommended(15, 3*m)}, current: 9, asked: 2, want: 7, able: "ScaleDownStabilized", limits: "DesiredWithinRange"},
		"down, window unset":  {behavior: behavior(free, &autoscalingv2.HPAScalingRules{Policies: []autoscalingv2.HPAScalingPolicy{byPods(99, 60)}}), before: []recommendation{recommended(7, 4*m), recommended(15, 6*m)}, current: 9, asked: 2, want: 7, able: "ScaleDownStabilized", limits: "DesiredWithinRange"},
		"down without window": {behavior: behavior(free, free), before: []recommendation{recommended(9, 0)}, current: 9, asked: 2, want: 2, able: "ReadyForNewScale", limits: "DesiredWithinRange"},

		// Policies.
		"pods up":                     {behavior: behavior(rules(0, most, byPods(2, 60)), free), current: 4, asked: 9, want: 6, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"percent up is rounded up":    {behavior: behavior(rules(0, most, byPercent(10, 60)), free), current: 4, asked: 9, want: 5, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"the most up":                 {behavior: behavior(rules(0, most, byPods(2, 60), byPercent(100, 60)), free), current: 5, asked: 19, want: 10, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"the least up":                {behavior: behavior(rules(0, least, byPods(2, 60), byPercent(100, 60)), free), current: 5, asked: 19, want: 7, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"never up":                    {behavior: behavior(rules(0, never, byPods(2, 60)), free), current: 5, asked: 19, want: 5, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"up, what was added counts":   {behavior: behavior(rules(0, most, byPods(4, 60)), free), ups: []scaling{{3, now.Add(-30 * time.Second)}, {9, now.Add(-61 * time.Second)}}, current: 8, asked: 19, want: 9, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"up, what was removed counts": {behavior: behavior(rules(0, most, byPods(4, 60)), free), downs: []scaling{{3, now.Add(-30 * time.Second)}}, current: 8, asked: 19, want: 15, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"up, all is used up":          {behavior: behavior(rules(0, most, byPods(4, 60)), free), ups: []scaling{{9, now.Add(-time.Second)}}, current: 12, asked: 19, want: 12, able: "ReadyForNewScale", limits: "ScaleUpLimit", limited: true},
		"pods down":                   {behavior: behavior(free, rules(0, most, byPods(2, 60))), current: 9, asked: 3, want: 7, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"percent down":                {behavior: behavior(free, rules(0, most, byPercent(30, 60))), current: 9, asked: 3, want: 6, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"the most down":               {behavior: behavior(free, rules(0, most, byPods(2, 60), byPercent(50, 60))), current: 10, asked: 2, want: 5, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"the least down":              {behavior: behavior(free, rules(0, least, byPods(2, 60), byPercent(50, 60))), current: 10, asked: 2, want: 8, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"never down":                  {behavior: behavior(free, rules(0, never)), current: 10, asked: 2, want: 10, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"down, what was removed":      {behavior: behavior(free, rules(0, most, byPods(3, 60))), downs: []scaling{{2, now.Add(-time.Second)}}, current: 10, asked: 2, want: 9, able: "ReadyForNewScale", limits: "ScaleDownLimit", limited: true},
		"too many by rules":           {behavior: behavior(free, free), current: 10, asked: 30, want: 20, able: "ReadyForNewScale", limits: "TooManyReplicas", limited: true},
		"too few by rules":            {behavior: behavior(free, free), current: 10, asked: 1, want: 2, able: "ReadyForNewScale", limits: "TooFewReplicas", limited: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := &history{recommendations: c.before, ups: c.ups, downs: c.downs}
			v := h.limit(bounds{current: c.current, least: 2, most: 20, behavior: c.behavior}, c.asked, now)
			if v.replicas != c.want || v.able.reason != c.able || v.limits.reason != c.limits || v.limited != c.limited {
				t.Errorf("got %d, %s, %s %v; want %d, %s, %s %v", v.replicas, v.able.reason, v.limits.reason, v.limited, c.want, c.able, c.limits, c.limited)
			}
			if last := h.recommendations[len(h.recommendations)-1]; last != (recommendation{c.asked, now}) {
				t.Errorf("recorded %+v", last)
			}
		})
	}
}

// TestMemoryIsBounded: a day of an autoscaler that scales in every round is remembered
// for as long as its windows and periods are.
func TestMemoryIsBounded(t *testing.T) {
	h := &history{}
	for _, b := range []*autoscalingv2.HorizontalPodAutoscalerBehavior{nil, behavior(rules(3600, most, byPods(1, 1800)), rules(3600, most, byPods(1, 1800)))} {
		h = &history{}
		h.begin(1, now)
		for i := range int32(24 * 240) {
			at := now.Add(time.Duration(i) * period)
			h.limit(bounds{current: 5, least: 1, most: 20, behavior: b}, i%9, at)
			h.scaled(b, 5+i%2, 6-i%2, at)
			if n := max(len(h.recommendations), len(h.ups), len(h.downs)); n > keep/2 {
				t.Fatalf("after %d rounds %d are remembered", i, n)
			}
		}
		if b == nil && len(h.ups)+len(h.downs) > 0 {
			t.Error("what no behavior asks for is remembered")
		}
	}
	for i := range int32(2 * keep) {
		h.recommend(i, now, time.Hour)
	}
	if len(h.recommendations) != keep || h.recommendations[keep-1].replicas != 2*keep-1 {
		t.Errorf("%d are remembered", len(h.recommendations))
	}
}

// TestUntilNext: rounds of an autoscaler are a period apart, and those of many are spread
// over it.
func TestUntilNext(t *testing.T) {
	seen := map[time.Duration]bool{}
	for _, uid := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		first := now.Add(untilNext(uid, now))
		if d := first.Sub(now); d < time.Second || d > period+time.Second {
			t.Errorf("%s: the first round is in %s", uid, d)
		}
		for _, late := range []time.Duration{0, time.Millisecond, 3 * time.Second} {
			if next := first.Add(late).Add(untilNext(uid, first.Add(late))); next.Sub(first) != period {
				t.Errorf("%s: a round that is %s late is followed after %s", uid, late, next.Sub(first))
			}
		}
		if early := first.Add(-time.Millisecond); early.Add(untilNext(uid, early)).Sub(first) != period {
			t.Errorf("%s: a round that is early comes twice", uid)
		}
		seen[first.Sub(now)] = true
	}
	if len(seen) < 6 {
		t.Errorf("8 autoscalers have %d places", len(seen))
	}
}
