package registry

import (
	"context"
	"errors"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/watch"
)

// request is one write on its way. Its plan turns the present state of the
// object into a change; when another writer is faster, the plan is asked again
// with the state that won. A request is used by one goroutine at a time.
type request struct {
	user user.Info // who asks
	verb string    // for error texts
	t    Target
	k    *kinds.Kind
	sub  *resource.Subresource // nil for the object itself
	o    WriteOptions
	pass admission.Pass
	key  string // "" while a create has no name

	plan func(ctx context.Context, r *request, cur *watch.Object) (*change, error)
	// blind plans do not depend on the present state: create.
	blind bool

	cur        *watch.Object // the state the last plan began with
	known      bool          // cur is set
	fresh      bool          // cur came from the store, not from a cache
	conflicts  int
	companions int // companions' conflicts
	warnings   []string
}

func (c caller) newRequest(verb string, k *kinds.Kind, t Target, o WriteOptions) (*request, error) {
	r := &request{user: c.user, verb: verb, t: t, k: k, o: o, pass: c.chain.Begin()}
	if k.Namespaced && t.Namespace == "" {
		return nil, status.BadRequestf("%s is namespaced: a namespace is required", k.GR)
	}
	if !k.Namespaced {
		r.t.Namespace = ""
	}
	if t.Subresource != "" {
		if r.sub = k.Subresource(t.Subresource); r.sub == nil {
			return nil, status.UnknownResource(t.Resource.GroupResource())
		}
	}
	if t.Name != "" {
		if msgs := validName(t.Name, false); len(msgs) > 0 {
			return nil, status.BadRequestf("invalid name %q: %s", t.Name, msgs[0])
		}
		r.key = k.Key(r.t.Namespace, t.Name)
	}
	return r, nil
}

func (r *request) warn(msg string) {
	if msg != "" {
		r.warnings = append(r.warnings, msg)
	}
}

// write is the request as the field manager sees it.
func (r *request) write() fieldmanager.Write {
	return fieldmanager.Write{Manager: r.o.FieldManager, Version: r.k.In(r.t.Resource.Version), Subresource: r.sub}
}

// attributes are the request as admission rules see it.
func (r *request) attributes(op admission.Operation, obj, old runtime.Object) *admission.Attributes {
	gv := r.k.In(r.t.Resource.Version)
	a := &admission.Attributes{
		Operation:   op,
		Resource:    gv.WithResource(r.k.Resource),
		Kind:        gv.WithKind(r.k.Kind),
		Subresource: r.t.Subresource,
		Namespace:   r.t.Namespace,
		Name:        r.t.Name,
		Object:      obj,
		Old:         old,
		DryRun:      r.o.DryRun,
		User:        r.user,
		Warnings:    r.warn,
	}
	if r.sub != nil && r.sub.Kind.Kind != "" {
		a.Kind = r.sub.Kind
	}
	if a.Name == "" && obj != nil { // drawn by now, if it is to be
		if m, err := accessor(obj); err == nil {
			a.Name = m.GetName()
		}
	}
	return a
}

// execute plans and commits until the change is in the store.
func (c *Core) execute(ctx context.Context, r *request) (*Result, error) {
	for {
		ch, err := c.prepare(ctx, r)
		if err != nil {
			return nil, err
		}
		if ch.noop || r.o.DryRun {
			return ch.result(r, nil)
		}
		rev, err := c.store.Commit(ctx, ch.ops())
		if err == nil {
			return ch.result(r, c.applied(r, ch, rev))
		}
		if err := c.lost(ctx, r, ch, err); err != nil {
			return nil, err
		}
	}
}

// prepare plans from the state this process knows. What it would refuse, or
// call unchanged, is planned again from the store's state before it is
// answered: a cache may be behind.
func (c *Core) prepare(ctx context.Context, r *request) (*change, error) {
	if r.blind {
		return r.plan(ctx, r, nil)
	}
	if !r.known {
		r.cur, r.known, r.fresh = c.lookup(r.k, r.key, r.t.Namespace, r.t.Name), true, false
	}
	ch, err := r.plan(ctx, r, r.cur)
	if r.fresh || (err == nil && !ch.noop && !r.o.DryRun) {
		return ch, err
	}
	cur, ferr := c.refresh(ctx, r.k, r.key, r.t.Namespace, r.t.Name)
	if ferr != nil {
		return nil, status.Store(r.k.GR, r.verb, r.t.Name, ferr)
	}
	same := revisionOf(cur) == revisionOf(r.cur)
	r.cur, r.fresh = cur, true
	if same {
		return ch, err
	}
	r.warnings = nil
	return r.plan(ctx, r, cur)
}

// lost handles a commit that did not happen: nil means that the request may be
// planned again.
func (c *Core) lost(ctx context.Context, r *request, ch *change, err error) error {
	var conflict *store.ConflictError
	if !errors.As(err, &conflict) {
		return status.Store(r.k.GR, r.verb, ch.name, err)
	}
	r.warnings = nil
	if conflict.Key != ch.key {
		return c.lostCompanion(ctx, r, ch, conflict)
	}
	cur, derr := c.decodeCurrent(r.k, ch.namespace, ch.name, conflict.Current)
	if derr != nil {
		return status.Store(r.k.GR, r.verb, ch.name, derr)
	}
	c.remember(ch.key, cur, conflict.Current)
	r.conflicts++
	switch {
	case r.blind && ch.generated && r.conflicts < maxNameTries:
		return nil // another name
	case r.blind:
		return status.Exists(r.k.GR, ch.name, ch.generated, deleting(cur))
	case r.conflicts >= maxConflicts:
		return status.Conflict(r.k.GR, ch.name)
	}
	r.cur, r.known, r.fresh = cur, true, true
	return ctx.Err()
}

// lostCompanion: an object to be written together with the principal was taken
// or changed. The next plan chooses again, from the state learned here.
func (c *Core) lostCompanion(ctx context.Context, r *request, ch *change, conflict *store.ConflictError) error {
	for _, x := range ch.extra {
		if x.op.Key != conflict.Key {
			continue
		}
		cur, err := c.decodeCurrent(x.kind, x.namespace, x.name, conflict.Current)
		if err != nil {
			return status.Store(r.k.GR, r.verb, ch.name, err)
		}
		c.remember(conflict.Key, cur, conflict.Current)
		if cur == nil {
			// It is gone: the cache must know before the hook looks again.
			if err := c.await(ctx, x.kind, r.verb, "", 0); err != nil {
				return err
			}
		}
	}
	if r.companions++; r.companions >= maxCompanionTries {
		return status.Conflict(r.k.GR, ch.name)
	}
	return nil
}

// remember keeps what a conflict told about a key.
func (c *Core) remember(key string, cur *watch.Object, kv store.KV) {
	if cur != nil {
		c.recent.Put(key, kv.ModRevision, cur, len(kv.Value))
	}
}
