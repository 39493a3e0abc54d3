package evaluate

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// reason is why a node does not fit.
type reason struct {
	instance, member int
	unresolvable     bool
	texts            []string
}

// setReason says why a row does not fit; 0 is that it does.
func (v *verdicts) setReason(row int, id uint32) {
	v.counts[v.row[row]]--
	v.row[row] = id
	v.counts[id]++
}

// reasonID maps an instance's reason id to that of the verdicts; 0 when there
// is none.
func (v *verdicts) reasonID(instance int, id uint32) uint32 {
	ids := v.pre[instance].ids
	if id == 0 || int(id) > len(ids) {
		return 0
	}
	return ids[id-1]
}

// maxReasons bounds the reasons that are kept for one signature; each new one is
// compared with all.
const maxReasons = 4096

// addReasons adds what an instance gave for the first time since its PreFilter.
func (v *verdicts) addReasons(instance int, list []schedule.ReasonInfo) error {
	if len(v.reasons)+len(list) > maxReasons {
		return wrongf("nodes are refused for more than %d reasons", maxReasons)
	}
	for _, x := range list {
		r := reason{instance: instance, member: x.Member, unresolvable: x.Unresolvable, texts: x.Reasons}
		id := 0
		for i := range v.reasons {
			if v.reasons[i].equal(&r) {
				id = i + 1
			}
		}
		if id == 0 {
			v.reasons = append(v.reasons, r)
			v.counts = append(v.counts, 0)
			id = len(v.reasons)
		}
		v.pre[instance].ids = append(v.pre[instance].ids, uint32(id))
	}
	return nil
}

func (r *reason) equal(o *reason) bool {
	return r.instance == o.instance && r.member == o.member && r.unresolvable == o.unresolvable && slices.Equal(r.texts, o.texts)
}

// unnamedReason is the reason for rows that an instance rejects without a valid
// one.
func (v *verdicts) unnamedReason(instance int) uint32 {
	r := reason{instance: instance, member: -1, texts: []string{"node(s) were rejected without a reason"}}
	for i := range v.reasons {
		if v.reasons[i].equal(&r) {
			return uint32(i + 1)
		}
	}
	v.reasons = append(v.reasons, r)
	v.counts = append(v.counts, 0)
	return uint32(len(v.reasons))
}

// FitError says why no node takes a pod.
type FitError struct {
	nodes     int
	empty     bool // there are no nodes at all
	preFilter bool // message replaces the counts
	message   string
	texts     []ReasonCount
	examples  map[string][]string // nodes by text
	// Events are the changes after which another try makes sense.
	Events schedule.ClusterEvent
	// Objects are those whose change is a reason, too.
	Objects []objects.Ref
}

// ReasonCount is how many nodes a text was given for.
type ReasonCount struct {
	Text, Plugin string
	Nodes        int
	Examples     []string // some of the nodes
}

// Reasons lists what was said, in no order.
func (f *FitError) Reasons() []ReasonCount {
	list := slices.Clone(f.texts)
	for i := range list {
		list[i].Examples = f.examples[list[i].Text]
	}
	return list
}

// Failed is the outcome about a pod when a plugin gave no answer.
func Failed(nodes int, err error) Outcome {
	return Outcome{Fit: &FitError{nodes: nodes, preFilter: true, message: err.Error()}}
}

func eventsOf(e schedule.ClusterEvent) schedule.ClusterEvent {
	if e == 0 {
		return schedule.AnyEvent
	}
	return e
}

// add counts a reason for n nodes.
func (f *FitError) add(instances []*Instance, r *reason, n int) {
	name := instances[r.instance].name
	f.Events |= schedule.NodeAdded
	if r.member >= 0 {
		m := &instances[r.instance].members[r.member]
		name = m.Name
		f.Events |= eventsOf(m.Events)
	} else {
		f.Events = schedule.AnyEvent
	}
	for _, text := range r.texts {
		f.addText(text, name, n)
	}
}

func (f *FitError) addText(text, plugin string, n int) {
	for i := range f.texts {
		if f.texts[i].Text == text && f.texts[i].Plugin == plugin {
			f.texts[i].Nodes += n
			return
		}
	}
	f.texts = append(f.texts, ReasonCount{Text: text, Plugin: plugin, Nodes: n})
}

// Error reads as upstream's: "0/3 nodes are available: 1 Insufficient cpu, 2
// node(s) were unschedulable."
func (f *FitError) Error() string {
	if f.empty {
		return "no nodes available to schedule pods"
	}
	msg := fmt.Sprintf("0/%d nodes are available:", f.nodes)
	if f.preFilter {
		return msg + " " + f.message + "."
	}
	counts := map[string]int{}
	for _, r := range f.texts {
		counts[r.Text] += r.Nodes
	}
	var parts []string
	for text, n := range counts {
		parts = append(parts, fmt.Sprintf("%d %s", n, text))
	}
	if len(parts) == 0 {
		return msg
	}
	sort.Strings(parts)
	return msg + " " + strings.Join(parts, ", ") + "."
}
