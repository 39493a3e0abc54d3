package scheduler

import (
	"fmt"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/sdk"
)

// fitError says why no node takes a pod.
type fitError struct {
	nodes     int
	empty     bool // there are no nodes at all
	preFilter bool // message replaces the counts
	message   string
	texts     []reasonCount
	examples  map[string][]string // nodes by text
	// events are the changes after which another try makes sense.
	events sdk.Event
}

// reasonCount is how many nodes a text was given for.
type reasonCount struct {
	text, plugin string
	nodes        int
}

func eventsOf(e sdk.Event) sdk.Event {
	if e == 0 {
		return sdk.AnyEvent
	}
	return e
}

// add counts a reason for n nodes.
func (f *fitError) add(units []*unit, r *reason, n int) {
	name := units[r.unit].name
	f.events |= sdk.NodeAdded
	if r.member >= 0 {
		m := &units[r.unit].members[r.member]
		name = m.Name
		f.events |= eventsOf(m.Events)
	} else {
		f.events = sdk.AnyEvent
	}
	for _, text := range r.texts {
		f.addText(text, name, n)
	}
}

func (f *fitError) addText(text, plugin string, n int) {
	for i := range f.texts {
		if f.texts[i].text == text && f.texts[i].plugin == plugin {
			f.texts[i].nodes += n
			return
		}
	}
	f.texts = append(f.texts, reasonCount{text, plugin, n})
}

// Error reads as upstream's: "0/3 nodes are available: 1 Insufficient cpu, 2
// node(s) were unschedulable."
func (f *fitError) Error() string {
	if f.empty {
		return "no nodes available to schedule pods"
	}
	msg := fmt.Sprintf("0/%d nodes are available:", f.nodes)
	if f.preFilter {
		return msg + " " + f.message + "."
	}
	counts := map[string]int{}
	for _, r := range f.texts {
		counts[r.text] += r.nodes
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
