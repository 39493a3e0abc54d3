package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/kernel/scheduler/objects"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// reserving are the members of one instance that have a say about a placement.
type reserving struct {
	instance *Instance
	members  []int
}

// reservingOf lists who has a say about pods like the one at hand; nil for nobody,
// which is what most pods have.
func reservingOf(instances []*Instance, v *verdicts) (out []reserving) {
	for i, in := range instances {
		if m := v.pre[i].answer.Reserving; len(m) > 0 {
			out = append(out, reserving{in, m})
		}
	}
	return out
}

// Reservation is what one member of a plugin holds for a pod until it is bound.
type Reservation struct {
	// Plugin and Member are where it is asked again; Name is the member's for people.
	Plugin string
	Member int
	Name   string
	// PreBind: the member has something to do before the pod is bound.
	PreBind bool
	// State is the member's own.
	State []byte
	// Policy is what it means that the plugin has no answer.
	Policy FailurePolicy

	unreserves bool
}

// Reserved is what all members hold for a pod.
type Reserved struct {
	List    []Reservation
	assumed []*objects.Assumption
}

// PreBinds tells whether somebody has something to do before the pod is bound.
func (r *Reserved) PreBinds() bool {
	return r != nil && slices.ContainsFunc(r.List, func(x Reservation) bool { return x.PreBind })
}

// Refusal is a member's word against a node that was chosen.
type Refusal struct{ Point, Plugin, Reason string }

// Error reads as upstream's.
func (r *Refusal) Error() string {
	return fmt.Sprintf("running %s plugin %q: %s", r.Point, r.Plugin, r.Reason)
}

// Reserve tells plugins that a pod goes to the node of out; nil when nobody cares. The
// objects that are assumed for it are in the view until Unreserve or Settle.
//
// # Errors
//   - a *Refusal, or a fault of a plugin whose policy is Fail; nothing is reserved then
func (e *Evaluator) Reserve(ctx context.Context, pod *Pod, ref schedule.PodRef, out *Outcome) (*Reserved, []objects.Ref, error) {
	if len(out.reserving) == 0 {
		return nil, nil, nil
	}
	held := &Reserved{}
	var changed []objects.Ref
	for _, x := range out.reserving {
		refs, err := e.reserveWith(ctx, x, pod, ref, out, held)
		changed = append(changed, refs...)
		if err == nil {
			continue
		}
		if _, refused := errors.AsType[*Refusal](err); !refused {
			e.failed(ctx, x.instance, err)
			if x.instance.plugin.FailurePolicy == Ignore && ctx.Err() == nil {
				continue
			}
			err = fmt.Errorf("plugin %s: %w", x.instance.name, err)
		}
		return nil, append(changed, e.Unreserve(ctx, held, ref, out.Node)...), err
	}
	return held, changed, nil
}

// reserveWith asks the members of one instance.
func (e *Evaluator) reserveWith(ctx context.Context, x reserving, pod *Pod, ref schedule.PodRef, out *Outcome, held *Reserved) ([]objects.Ref, error) {
	in := x.instance
	for range maxAttempts {
		a, err := in.reserve(ctx, x.members, pod, ref, out.Row)
		switch {
		case errors.Is(err, errMoreColumns):
		case errors.Is(err, errMoreFields):
			e.Forget()
		case err != nil:
			return nil, err
		case a.RejectedBy > 0:
			return nil, &Refusal{"Reserve", in.members[a.RejectedBy-1].Name, strings.Join(a.Reasons, ", ")}
		default:
			return e.hold(in, &a, held)
		}
		if in.guest == nil {
			break
		}
		if err := in.sync(ctx, e.cfg.Table); err != nil {
			return nil, err
		}
	}
	return nil, wrongf("it keeps changing what it looks at of the pod")
}

// hold takes note of what an instance reserved, and assumes what it assumes.
func (e *Evaluator) hold(in *Instance, a *schedule.ReserveAnswer, held *Reserved) ([]objects.Ref, error) {
	var assume []objects.Assumed
	var list []Reservation
	for _, r := range a.Reservations {
		m := &in.members[r.Member]
		list = append(list, Reservation{Plugin: in.name, Member: r.Member, Name: m.Name, PreBind: r.PreBind, State: r.State,
			Policy: in.plugin.FailurePolicy, unreserves: m.Unreserves})
		for _, o := range r.Assumed {
			ref, err := refOf(in, o.ObjectRef)
			if err != nil {
				return nil, err
			}
			assume = append(assume, objects.Assumed{Ref: ref, Patch: o.Patch})
		}
	}
	if len(assume) == 0 {
		held.List = append(held.List, list...)
		return nil, nil
	}
	x, changed, err := e.cfg.Objects.Assume(assume)
	if err != nil {
		return nil, &Refusal{"Reserve", list[0].Name, err.Error()}
	}
	held.List, held.assumed = append(held.List, list...), append(held.assumed, x)
	return changed, nil
}

// refOf is an object that a member names and says that it reads.
func refOf(in *Instance, o schedule.ObjectRef) (objects.Ref, error) {
	if in.plugin.Access == nil || in.view == nil {
		return objects.Ref{}, wrongf("it assumes %s, and may not read it", o.Resource)
	}
	ref, err := in.plugin.Access.RefOf(o.Resource, o.Namespace, o.Name)
	if err != nil {
		return ref, wrongf("it assumes %s: %v", o.Resource, err)
	}
	return ref, nil
}

// Unreserve tells plugins that nothing comes of a placement, the last first, and
// undoes what was assumed for it. It tells what changed by that.
func (e *Evaluator) Unreserve(ctx context.Context, held *Reserved, ref schedule.PodRef, node string) (changed []objects.Ref) {
	if held == nil {
		return nil
	}
	for k := len(held.List) - 1; k >= 0; k-- {
		r := &held.List[k]
		if in := e.instance(r.Plugin); r.unreserves && in != nil && in.guest != nil {
			q := schedule.UnreserveRequest{Pod: ref, Node: node, Member: r.Member, State: r.State}
			if _, err := in.guest.Call(ctx, schedule.OpUnreserve, q.Append(nil)); err != nil && ctx.Err() == nil {
				e.failed(ctx, in, err)
			}
		}
	}
	held.List = nil
	for _, x := range held.assumed {
		changed = append(changed, e.cfg.Objects.Release(x)...)
	}
	return changed
}

// Settle says that a pod is bound.
func (e *Evaluator) Settle(held *Reserved) {
	if held == nil {
		return
	}
	for _, x := range held.assumed {
		e.cfg.Objects.Settle(x)
	}
}

func (e *Evaluator) instance(name string) *Instance {
	for _, in := range e.instances {
		if in.name == name {
			return in
		}
	}
	return nil
}

// Access of the plugin of a name; nil when it is not there, or has none.
func (e *Evaluator) Access(name string) *objects.Access {
	if in := e.instance(name); in != nil {
		return in.plugin.Access
	}
	return nil
}

// Instances are the plugins that decide.
func (e *Evaluator) Instances() []*Instance { return e.instances }

// reserve puts the question to the guest.
func (in *Instance) reserve(ctx context.Context, members []int, pod *Pod, ref schedule.PodRef, row int) (a schedule.ReserveAnswer, err error) {
	if in.guest == nil {
		return a, errors.New("there is no instance of it")
	}
	b, err := pod.record(in.plan)
	if err != nil {
		return a, err
	}
	in.loaded = nil // the guest holds this pod now
	q := schedule.ReserveRequest{Pod: ref, Row: row, Members: members, Record: b}
	resp, err := in.guest.Call(ctx, schedule.OpReserve, q.Append(nil))
	in.reads.Take() // nothing is remembered of it
	if err != nil {
		return a, err
	}
	if a, err = schedule.ReadReserveAnswer(resp); err == nil {
		err = in.give(&a.Missing)
	}
	if err == nil && (a.RejectedBy < 0 || a.RejectedBy > len(in.members)) {
		err = wrongf("rejected by member %d of %d", a.RejectedBy, len(in.members))
	}
	for i := range a.Reservations {
		if m := a.Reservations[i].Member; err == nil && (m < 0 || m >= len(in.members)) {
			err = wrongf("member %d of %d reserves", m, len(in.members))
		}
	}
	return a, err
}
