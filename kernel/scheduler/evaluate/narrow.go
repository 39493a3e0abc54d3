package evaluate

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// rejected answers for a pod that a PreFilter rejected on all nodes.
func (a *attempt) rejected() *FitError {
	for i := range a.instances {
		if x := &a.verdicts.pre[i].answer; x.RejectedBy > 0 {
			fit := &FitError{nodes: a.table.Rows(), preFilter: true}
			r := reason{instance: i, member: x.RejectedBy - 1, unresolvable: x.Unresolvable, texts: x.Reasons}
			fit.add(a.instances, &r, a.table.Rows())
			fit.message = strings.Join(x.Reasons, ", ")
			return fit
		}
	}
	return nil
}

// narrowed intersects the node names that PreFilters ask for; nil when none
// does.
func (a *attempt) narrowed() (names []string, fit *FitError) {
	var who []string
	var events schedule.ClusterEvent
	first := true
	for i, in := range a.instances {
		for _, o := range a.verdicts.pre[i].answer.Only {
			who = append(who, in.members[o.Member].Name)
			events |= eventsOf(in.members[o.Member].Events)
			if first {
				names, first = o.Nodes, false
				continue
			}
			wanted := make(map[string]bool, len(o.Nodes))
			for _, n := range o.Nodes {
				wanted[n] = true
			}
			names = slices.DeleteFunc(slices.Clone(names), func(n string) bool { return !wanted[n] })
		}
	}
	if first {
		return nil, nil
	}
	sort.Strings(who)
	if len(names) == 0 {
		text := fmt.Sprintf("node(s) didn't satisfy plugin(s) %v simultaneously", who)
		if len(who) == 1 {
			text = fmt.Sprintf("node(s) didn't satisfy plugin %v", who[0])
		}
		return nil, &FitError{nodes: a.table.Rows(), preFilter: true, message: text, Events: events}
	}
	return names, nil
}

// chooseAmong decides between a few named nodes, without remembering: pods that name
// their node differ from each other.
func (a *attempt) chooseAmong(ctx context.Context, names []string) (out Outcome, bad *Instance, err error) {
	v := a.verdicts
	var rows []uint32
	for _, name := range names {
		if row, ok := a.table.Row(name); ok {
			rows = append(rows, uint32(row))
		}
	}
	slices.Sort(rows)
	rows = slices.Compact(rows)
	n := a.table.Rows()
	v.filled = false
	v.resize(n)
	if bad, err := a.ask(ctx, appendRuns(nil, rows)); err != nil {
		return Outcome{}, bad, err
	}
	defer v.clear()
	if v.rankOnly(rows) > 0 {
		return a.choose(ctx)
	}
	fit := &FitError{nodes: n, examples: map[string][]string{}}
	for _, row := range rows {
		r := &v.reasons[v.row[row]-1]
		fit.add(a.instances, r, 1)
		for _, text := range r.texts {
			fit.examples[text] = append(fit.examples[text], a.table.Node(int(row)).Name)
		}
	}
	a.addAbsent(fit, n-len(rows))
	fit.noteObjects(a.instances, a.verdicts)
	return Outcome{Fit: fit}, nil, nil
}

// addAbsent counts the nodes that PreFilters left out.
func (a *attempt) addAbsent(fit *FitError, n int) {
	var who []string
	for i, in := range a.instances {
		for _, o := range a.verdicts.pre[i].answer.Only {
			who = append(who, in.members[o.Member].Name)
			fit.Events |= eventsOf(in.members[o.Member].Events)
		}
	}
	sort.Strings(who)
	if n > 0 {
		who = slices.Compact(who)
		fit.addText(fmt.Sprintf("node(s) didn't satisfy plugin(s) %v", who), strings.Join(who, ","), n)
	}
}
