package registry

import (
	"context"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// answerVirtual creates an object that is answered and not stored.
func (c caller) answerVirtual(ctx context.Context, k *kinds.Kind, t Target, in runtime.Object, o WriteOptions) (*Result, error) {
	if k.Runs != nil {
		return c.runAction(ctx, k, t, in, o)
	}
	serve := c.virtual[k.GR]
	if serve == nil {
		return nil, apierrors.NewMethodNotSupported(k.GR, verbCreate)
	}
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	obj, err := k.ToHub(t.Resource.Version, in)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	if obj, err = c.mutate(ctx, r, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	if k.Strategy.Validate != nil {
		if errs := k.Strategy.Validate(ctx, obj); len(errs) > 0 {
			return nil, apierrors.NewInvalid(k.GVK.GroupKind(), m.GetName(), errs)
		}
	}
	if err := c.validate(ctx, r, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	answer, err := serve(ctx, r.user, r.t, obj, o)
	if err != nil {
		return nil, err
	}
	return &Result{Answer: answer, Created: true, Warnings: r.warnings}, nil
}

// runAction runs the action that a virtual resource stands for. Rules are asked
// about the action, which is what is done.
func (c caller) runAction(ctx context.Context, k *kinds.Kind, t Target, body runtime.Object, o WriteOptions) (*Result, error) {
	if body == nil {
		return nil, status.BadRequest("an object is required")
	}
	m, err := accessor(body)
	if err != nil {
		return nil, err
	}
	if m.GetName() == "" {
		return nil, status.BadRequest("Name parameter required.")
	}
	if ns := m.GetNamespace(); ns != "" && t.Namespace != "" && ns != t.Namespace {
		return nil, status.BadRequest("the namespace of the provided object does not match the namespace sent on the request")
	}
	return c.Create(ctx, Target{Resource: k.Runs.Resource, Namespace: t.Namespace, Name: m.GetName(), Subresource: k.Runs.Subresource}, body, o)
}

// act runs an action subresource: a POST that changes its object.
func (c caller) act(ctx context.Context, k *kinds.Kind, t Target, body runtime.Object, o WriteOptions) (*Result, error) {
	r, err := c.newAction(ctx, k, t, body, o)
	if err != nil {
		return nil, err
	}
	if serve := c.actions[action(k, r.sub)]; serve != nil {
		return c.serveAction(ctx, r, serve, body)
	}
	return c.execute(ctx, r)
}

// serveAction hands the request to the package that owns the subject.
func (c caller) serveAction(ctx context.Context, r *request, serve Action, body runtime.Object) (*Result, error) {
	obj, err := c.Get(ctx, Target{Resource: r.t.Resource, Namespace: r.t.Namespace, Name: r.t.Name}, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	a := r.attributes(admission.Create, body, nil)
	if err := r.pass.Mutate(ctx, a); err != nil {
		return nil, err
	}
	if err := r.pass.Validate(ctx, a); err != nil {
		return nil, err
	}
	return serve(ctx, r.user, r.t, obj, a.Object, r.o)
}

func (c caller) newAction(ctx context.Context, k *kinds.Kind, t Target, body runtime.Object, o WriteOptions) (*request, error) {
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	switch {
	case r.key == "":
		return nil, status.BadRequest("name must be provided")
	case r.sub == nil || r.sub.Style != resource.StyleAction:
		return nil, apierrors.NewMethodNotSupported(k.GR, verbCreate)
	case body == nil:
		return nil, status.BadRequest("an object is required")
	case r.sub.Action == nil && c.actions[action(k, r.sub)] == nil:
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbCreate)
	}
	r.plan = func(ctx context.Context, r *request, cur *watch.Object) (*change, error) {
		return c.planAction(ctx, r, cur, body)
	}
	return r, nil
}

// planAction lets the kind change a copy of the object. As upstream's, the
// write passes by the object's own update hooks and managed fields.
func (c *Core) planAction(ctx context.Context, r *request, cur *watch.Object, in runtime.Object) (*change, error) {
	k := r.k
	if cur == nil {
		return nil, apierrors.NewNotFound(k.GR, r.t.Name)
	}
	body, err := c.admitAction(ctx, r, in)
	if err != nil {
		return nil, err
	}
	if err := r.actionPreconditions(cur, body); err != nil {
		return nil, err
	}
	obj := cur.Obj.DeepCopyObject()
	obj.GetObjectKind().SetGroupVersionKind(k.GVK)
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	old, err := accessor(cur.Obj)
	if err != nil {
		return nil, err
	}
	// The copy of the entries is thrown away: nothing below writes to them,
	// and thousands of bound pods then share those of their template.
	m.SetManagedFields(old.GetManagedFields())
	answer, err := r.sub.Action(ctx, obj, body)
	if err != nil {
		if status.Is(err) {
			return nil, err
		}
		return nil, apierrors.NewConflict(k.SubresourceName(r.sub), r.t.Name, err)
	}
	var ch *change
	if del, ok := answer.(*metav1.DeleteOptions); ok {
		r.o.DryRun = r.o.DryRun || len(del.DryRun) > 0
		ch, err = c.planDelete(ctx, r, cur, obj, *del.DeepCopy())
		answer = nil
	} else {
		ch, err = c.replace(ctx, r, cur, obj)
	}
	if err != nil {
		return nil, err
	}
	if r.sub.Companions != nil && !ch.noop {
		list, err := r.sub.Companions(ctx, c.Reader(), obj, body)
		if err := c.addCompanions(ch, list, err); err != nil {
			return nil, err
		}
	}
	if answer == nil {
		answer = &metav1.Status{Status: metav1.StatusSuccess}
	}
	ch.reply = func(*watch.Object) (runtime.Object, error) { return answer, nil }
	return ch, nil
}

// admitAction asks the rules about the body of an action. Rules get a copy if
// there may be one that changes it.
func (c *Core) admitAction(ctx context.Context, r *request, body runtime.Object) (runtime.Object, error) {
	if r.pass.Empty() {
		return body, nil
	}
	a := r.attributes(admission.Create, body, nil)
	if r.pass.Mutates() {
		a.Object = body.DeepCopyObject()
	}
	if err := r.pass.Mutate(ctx, a); err != nil {
		return nil, err
	}
	return a.Object, r.pass.Validate(ctx, a)
}

// actionPreconditions: a body that names a uid or a resourceVersion means the
// object in that state.
func (r *request) actionPreconditions(cur *watch.Object, body runtime.Object) error {
	b, err := accessor(body)
	if err != nil {
		return nil //nolint:nilerr // a body without metadata names nothing
	}
	m, err := accessor(cur.Obj)
	if err != nil {
		return err
	}
	if uid := b.GetUID(); uid != "" && uid != m.GetUID() {
		return status.Precondition(r.k.GR, r.key, r.t.Name, "UID", string(uid), string(m.GetUID()))
	}
	if rv := b.GetResourceVersion(); rv != "" && rv != m.GetResourceVersion() {
		return status.Precondition(r.k.GR, r.key, r.t.Name, "ResourceVersion", rv, m.GetResourceVersion())
	}
	return nil
}

// GetProjection reads a projected subresource.
func (c caller) GetProjection(ctx context.Context, t Target, o metav1.GetOptions) (runtime.Object, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	sub := k.Subresource(t.Subresource)
	if sub == nil || sub.Style != resource.StyleProjection {
		return nil, status.UnknownResource(t.Resource.GroupResource())
	}
	t.Subresource = ""
	obj, err := c.Get(ctx, t, o)
	if err != nil {
		return nil, err
	}
	return project(sub, obj.Obj)
}
