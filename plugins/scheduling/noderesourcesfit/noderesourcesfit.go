// Package noderesourcesfit is the scheduling filter for nodes with too little
// room for the pod's requests, and the score that favors nodes with the most
// room left.
package noderesourcesfit

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// Name of the plugin in profiles and messages.
const Name = "NodeResourcesFit"

// Config of the plugin.
type Config struct {
	// IgnoredResources are extended resources that the filter does not look
	// at; IgnoredResourceGroups names them by what stands before the slash.
	IgnoredResources      []string `json:"ignoredResources,omitempty"`
	IgnoredResourceGroups []string `json:"ignoredResourceGroups,omitempty"`
	// CPUWeight and MemoryWeight of the score; both 1 when both are 0.
	CPUWeight    int64 `json:"cpuWeight,omitempty"`
	MemoryWeight int64 `json:"memoryWeight,omitempty"`
}

func init() {
	sdk.Register(sdk.Plugin{Name: "noderesourcesfit", New: func(config []byte) (sdk.Points, error) { return New(config) }})
}

// New makes an instance from a [Config].
func New(config []byte) (*scheduling.Points, error) {
	t := &plugin{}
	if len(config) > 0 {
		if err := json.Unmarshal(config, &t.config); err != nil {
			return nil, fmt.Errorf("config of %s: %w", Name, err)
		}
	}
	if t.config.CPUWeight < 0 || t.config.MemoryWeight < 0 || t.config.CPUWeight > 100 || t.config.MemoryWeight > 100 {
		return nil, fmt.Errorf("config of %s: weights are 0 to 100", Name)
	}
	if t.config.CPUWeight == 0 && t.config.MemoryWeight == 0 {
		t.config.CPUWeight, t.config.MemoryWeight = 1, 1
	}
	return &scheduling.Points{
		PreFilter: t.preFilter, FilterAll: t.filter, ScoreAll: t.score,
		Events: scheduling.NodeAdded | scheduling.NodeAllocatableChanged | scheduling.PodDeleted | scheduling.PodChanged,
	}, nil
}

type plugin struct {
	config Config
	wants  []want
	// statuses by the resources that are short and whether even an empty node
	// would be too small, so that equal verdicts are one value.
	statuses map[uint64]*scheduling.Status
}

// want is one resource that the pod asks for.
type want struct {
	alloc, used scheduling.Column
	extended    string // instead of alloc and used
	amount      int64
	reason      string
}

func (t *plugin) preFilter(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
	r := p.Requests()
	t.wants = append(t.wants[:0], want{scheduling.AllocatablePods, scheduling.RequestedPods, "", 1, "Too many pods"})
	for _, w := range []want{
		{scheduling.AllocatableCPU, scheduling.RequestedCPU, "", r.MilliCPU, "Insufficient cpu"},
		{scheduling.AllocatableMemory, scheduling.RequestedMemory, "", r.Memory, "Insufficient memory"},
		{scheduling.AllocatableEphemeral, scheduling.RequestedEphemeral, "", r.Ephemeral, "Insufficient ephemeral-storage"},
	} {
		if w.amount > 0 {
			t.wants = append(t.wants, w)
		}
	}
	for _, x := range r.Extended {
		if x.Value > 0 && !t.ignored(x.Name) && len(t.wants) < maxWants {
			t.wants = append(t.wants, want{extended: x.Name, amount: x.Value, reason: "Insufficient " + x.Name})
		}
	}
	t.statuses = map[uint64]*scheduling.Status{}
	return nil
}

// maxWants is how many resources fit in the key of a status.
const maxWants = 63

func (t *plugin) ignored(name string) bool {
	group, _, _ := strings.Cut(name, "/")
	return slices.Contains(t.config.IgnoredResources, name) || slices.Contains(t.config.IgnoredResourceGroups, group)
}

// filter finds the nodes that are short of anything. Most often all of them
// are short of the same: then one status serves whole masks.
func (t *plugin) filter(c *scheduling.Cycle) {
	var lacking []int
	var masks []vector.Mask
	for i := range t.wants {
		m := c.Mask()
		t.short(c, i, m)
		m.And(c.Rows())
		if m.Any() {
			lacking, masks = append(lacking, i), append(masks, m)
		}
	}
	if len(masks) == 0 {
		return
	}
	never := c.Mask() // even when empty, the node is too small
	small := c.Mask()
	for k, i := range lacking {
		t.tooSmall(c, i, small)
		small.And(masks[k])
		never.Or(small)
	}
	if len(masks) == 1 {
		now := masks[0]
		now.AndNot(never)
		c.Reject(now, t.status(1<<lacking[0], false))
		c.Reject(never, t.status(1<<lacking[0], true))
		return
	}
	t.rejectMixed(c, lacking, masks, never)
}

// rejectMixed sorts nodes by what they are short of.
func (t *plugin) rejectMixed(c *scheduling.Cycle, lacking []int, masks []vector.Mask, never vector.Mask) {
	union := c.Mask()
	for _, m := range masks {
		union.Or(m)
	}
	for union.Any() {
		first := -1
		union.Each(func(i int) {
			if first < 0 {
				first = i
			}
		})
		// All nodes that are short of exactly the same as the first.
		group := c.Mask()
		group.Or(union)
		var key uint64
		for k, m := range masks {
			if m.Has(first) {
				group.And(m)
				key |= 1 << lacking[k]
			} else {
				group.AndNot(m)
			}
		}
		if never.Has(first) {
			group.And(never)
		} else {
			group.AndNot(never)
		}
		union.AndNot(group)
		c.Reject(group, t.status(key, never.Has(first)))
	}
}

func (t *plugin) short(c *scheduling.Cycle, i int, out vector.Mask) {
	if w := &t.wants[i]; w.extended == "" {
		vector.Short(out, c.Int64(w.alloc), c.Int64(w.used), w.amount)
	} else if alloc, used, ok := c.Extended(w.extended); ok {
		vector.Short(out, alloc, used, w.amount)
	} else {
		out.Fill(c.Len())
	}
}

// tooSmall sets out to the nodes whose whole capacity is below the request.
// The number of pods does not count: upstream never calls it unresolvable.
func (t *plugin) tooSmall(c *scheduling.Cycle, i int, out vector.Mask) {
	switch w := &t.wants[i]; {
	case w.alloc == scheduling.AllocatablePods:
		out.Zero()
	case w.extended == "":
		vector.Below(out, c.Int64(w.alloc), w.amount)
	default:
		if alloc, _, ok := c.Extended(w.extended); ok {
			vector.Below(out, alloc, w.amount)
		} else {
			out.Fill(c.Len())
		}
	}
}

func (t *plugin) status(lacking uint64, never bool) *scheduling.Status {
	key := lacking << 1
	if never {
		key |= 1
	}
	if st := t.statuses[key]; st != nil {
		return st
	}
	var reasons []string
	for i, w := range t.wants {
		if lacking>>i&1 != 0 {
			reasons = append(reasons, w.reason)
		}
	}
	st := scheduling.Unschedulable(reasons...)
	if never {
		st = scheduling.UnschedulableAndUnresolvable(reasons...)
	}
	t.statuses[key] = st
	return st
}

func (t *plugin) score(c *scheduling.Cycle) {
	want := c.Pod().NonZeroRequests()
	vector.Least2(c.Scores(), c.Rows(),
		vector.Share{Alloc: c.Int64(scheduling.AllocatableCPU), Used: c.Int64(scheduling.NonZeroCPU), Want: want.MilliCPU, Weight: t.config.CPUWeight},
		vector.Share{Alloc: c.Int64(scheduling.AllocatableMemory), Used: c.Int64(scheduling.NonZeroMemory), Want: want.Memory, Weight: t.config.MemoryWeight})
}
