package sdktest

import (
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// Reserved is a pod for which a node was chosen; see [Reserve].
type Reserved struct {
	// Refused says why a plugin would not have it there; "" when none did.
	Refused string
	// Assumed are the objects that are to be seen otherwise until the pod is bound, as
	// "resource namespace/name patch".
	Assumed []string

	trial *trial
	pod   schedule.PodRef
	node  string
	list  []schedule.Reservation
}

// Reserve chooses a node for a pod, by its name, and asks the points of a plugin about
// it as a kernel does, for plugins that serve Reserve or PreBind. Objects are those of
// a store, which is also what PreBind writes to.
func Reserve(s *Store, p *scheduling.Points, pod scheduling.PodInfo, node string, nodes ...scheduling.NodeInfo) (*Reserved, error) {
	t, err := newTrial(s, p, nodes)
	if err != nil {
		return nil, err
	}
	row, ok := t.table.Row(node)
	if !ok {
		return nil, fmt.Errorf("there is no node %q", node)
	}
	out := &Reserved{trial: t, node: node, pod: schedule.PodRef{Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID}}
	return out, t.until(func() error { return out.reserve(pod, row) })
}

func (r *Reserved) reserve(pod scheduling.PodInfo, row int) error {
	t := r.trial
	record, err := pod.Record(t.fields)
	if err != nil {
		return err
	}
	resp, err := t.call(schedule.OpPreFilter, record)
	if err != nil {
		return err
	}
	pre, err := schedule.ReadPreFilter(resp)
	switch {
	case err != nil:
		return err
	case pre.Missing.Any():
		return t.give(&pre.Missing)
	case pre.RejectedBy > 0:
		r.Refused = strings.Join(pre.Reasons, ", ")
		return nil
	case len(pre.Reserving) == 0:
		return nil
	}
	q := schedule.ReserveRequest{Pod: r.pod, Row: row, Members: pre.Reserving, Record: record}
	if resp, err = t.call(schedule.OpReserve, q.Append(nil)); err != nil {
		return err
	}
	a, err := schedule.ReadReserveAnswer(resp)
	if err != nil {
		return err
	}
	if a.Missing.Any() {
		return t.give(&a.Missing)
	}
	r.Refused, r.list = strings.Join(a.Reasons, ", "), a.Reservations
	for _, x := range a.Reservations {
		for _, o := range x.Assumed {
			r.Assumed = append(r.Assumed, fmt.Sprintf("%s %s/%s %s", o.Resource, o.Namespace, o.Name, o.Patch))
		}
	}
	return nil
}

// PreBinds tells whether PreBind is asked at all.
func (r *Reserved) PreBinds() bool {
	for i := range r.list {
		if r.list[i].PreBind {
			return true
		}
	}
	return false
}

// PreBind asks every PreBind that has something to do, elapsed after it was asked
// first: until one says that the pod is to wait, or refuses it.
func (r *Reserved) PreBind(elapsed time.Duration) (waits bool, refused string, err error) {
	for i := range r.list {
		x := &r.list[i]
		if !x.PreBind {
			continue
		}
		q := schedule.PreBindRequest{UnreserveRequest: schedule.UnreserveRequest{Pod: r.pod, Node: r.node, Member: x.Member, State: x.State}, Elapsed: elapsed}
		resp, err := r.trial.call(schedule.OpPreBind, q.Append(nil))
		if err != nil {
			return false, "", err
		}
		a, err := schedule.ReadPreBindAnswer(resp)
		if err != nil {
			return false, "", err
		}
		x.State = a.State
		switch a.Outcome {
		case schedule.PreBindWait:
			return true, "", nil
		case schedule.PreBindRefused:
			return false, strings.Join(a.Reasons, ", "), nil
		}
	}
	return false, "", nil
}

// Unreserve says that nothing comes of it.
func (r *Reserved) Unreserve() error {
	for i := len(r.list) - 1; i >= 0; i-- {
		q := schedule.UnreserveRequest{Pod: r.pod, Node: r.node, Member: r.list[i].Member, State: r.list[i].State}
		if _, err := r.trial.call(schedule.OpUnreserve, q.Append(nil)); err != nil {
			return err
		}
	}
	return nil
}
