package registry

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/recent"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// request is what somebody wants written: its plans turn the present state of the
// object into a change, asking the kind's hooks and the admission rules on the way.
// It is used by one goroutine at a time.
type request struct {
	transaction.Write
	user  user.Info // who asks
	t     Target
	k     *kinds.Kind
	sub   *resource.Subresource // nil for the object itself
	o     WriteOptions
	pass  admission.Pass
	tx    *transaction.Committer
	clock clock.PassiveClock

	charges []admission.Charge // of the plan that is being made
}

func (c caller) newRequest(verb string, k *kinds.Kind, t Target, o WriteOptions) (*request, error) {
	r := &request{user: c.user, t: t, k: k, o: o, pass: c.core.chain.Begin(), tx: c.core.tx, clock: c.core.clock}
	if k.Namespaced && t.Namespace == "" {
		return nil, status.BadRequestf("%s is namespaced: a namespace is required", k.GR)
	}
	if !k.Namespaced {
		r.t.Namespace = ""
	}
	if t.Subresource != "" {
		if r.sub = k.Subresource(t.Subresource); r.sub == nil || !r.sub.In(k.In(t.Resource.Version).Version) {
			return nil, status.UnknownResource(t.Resource.GroupResource())
		}
	}
	r.Verb, r.DryRun = verb, o.DryRun
	r.ID = recent.ID{Definition: k.Definition, Namespace: r.t.Namespace}
	if t.Name != "" {
		if msgs := validName(t.Name, false); len(msgs) > 0 {
			return nil, status.BadRequestf("Name parameter invalid: %q: %s", t.Name, msgs[0])
		}
		r.ID = recent.IDOf(k.Definition, r.t.Namespace, t.Name)
	}
	return r, nil
}

// do carries a write out. What there was to warn of, the client is told of one that
// fails, too: a field that the body has twice may be why.
func (c caller) do(ctx context.Context, r *request) (*Result, error) {
	res, err := c.core.tx.Do(ctx, &r.Write)
	return res, told(ctx, r, err)
}

// versioned tells hooks of a kind with types of its own the version of a request:
// each of its versions may be checked in another way.
func versioned(ctx context.Context, k *kinds.Kind, t Target) context.Context {
	if k.Types == nil {
		return ctx
	}
	return resource.WithVersion(ctx, k.In(t.Resource.Version).Version)
}

// now is the time of the request's plan.
func (r *request) now() metav1.Time { return resource.Timestamp(r.clock.Now()) }

// change begins a change of the request's object from its present state.
func (r *request) change(cur *watch.Object) *transaction.Change {
	return &transaction.Change{ID: r.ID, Old: cur, Tracked: r.Verb == verbApply}
}

// join asks the kind what is written together with the object, and adds what the
// rules charge. It asks the kind as it is now: one that has begun to go takes no new
// objects.
func (r *request) join(ctx context.Context, ch *transaction.Change) error {
	if err := charge(r, ch); err != nil {
		return err
	}
	var old runtime.Object
	if ch.Old != nil {
		old = ch.Old.Obj
	}
	hook := r.k.Strategy.Companions
	if d := r.tx.Definitions.Definition(r.k.GR); d != nil {
		hook = d.Strategy.Companions
	}
	return r.tx.Join(ctx, &r.Write, ch, hook, ch.Obj, old)
}

// write is the request as the field manager sees it.
func (r *request) write(ctx context.Context) fieldmanager.Write {
	return fieldmanager.Write{Context: ctx, Manager: r.o.FieldManager, Version: r.k.In(r.t.Resource.Version), Subresource: r.sub}
}
