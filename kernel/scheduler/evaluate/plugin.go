package evaluate

import (
	"context"
	"fmt"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// FailurePolicy says what a fault of a plugin means for the pod at hand.
type FailurePolicy string

// The policies. Fail, the default, leaves the pod pending with a message;
// Ignore decides without the plugin.
const (
	Fail   FailurePolicy = "Fail"
	Ignore FailurePolicy = "Ignore"
)

// Plugin is one plugin as the scheduler uses it: one instance for each worker,
// which may hold several members.
type Plugin struct {
	// Open starts an instance.
	Open func(ctx context.Context) (plugin.Instance, error)
	// Access is what it may do with objects besides nodes and pods; nil is nothing.
	// With it Open is not used.
	Access *objects.Access
	// Use says how members are used, by name; the others filter, and score
	// with the weight that the plugin gives them.
	Use           map[string]Use
	FailurePolicy FailurePolicy
	// Rehearse asks the plugin about every pod and lets it decide nothing.
	Rehearse bool
}

// Use of a member in the profile.
type Use struct {
	// NoFilter switches the filter off, Weight 0 the score.
	NoFilter bool
	Weight   int64
}

// MaxWeight bounds the weight of a score.
const MaxWeight = 1000

// checkColumns: score columns are numbered from 1 without a gap, each used by
// one member.
func checkColumns(members []schedule.MemberInfo) error {
	seen := make([]bool, len(members)+1)
	last := 0
	for _, m := range members {
		if m.Column == 0 {
			continue
		}
		if int64(m.Column) >= int64(len(seen)) || seen[m.Column] {
			return wrongf("member %s has score column %d of %d members, or shares it", m.Name, m.Column, len(members))
		}
		seen[m.Column] = true
		last = max(last, int(m.Column))
	}
	for i := 1; i <= last; i++ {
		if !seen[i] {
			return wrongf("there is no score column %d, but %d", i, last)
		}
	}
	return nil
}

func usesOf(members []schedule.MemberInfo, use map[string]Use) ([]schedule.MemberUse, error) {
	known := map[string]bool{}
	out := make([]schedule.MemberUse, len(members))
	for i, m := range members {
		known[m.Name] = true
		out[i] = schedule.MemberUse{Filter: m.Filters}
		if m.Scores {
			out[i].Weight = min(max(m.Weight, 1), MaxWeight)
		}
		x, ok := use[m.Name]
		if !ok {
			continue
		}
		if x.Weight < 0 || x.Weight > MaxWeight {
			return nil, fmt.Errorf("weight %d of %s is not in the range of 0 to %d", x.Weight, m.Name, MaxWeight)
		}
		out[i].Filter = m.Filters && !x.NoFilter
		if m.Scores {
			out[i].Weight = x.Weight
		}
	}
	for name := range use {
		if !known[name] {
			return nil, fmt.Errorf("profile names %s, which the plugin does not hold", name)
		}
	}
	return out, nil
}
