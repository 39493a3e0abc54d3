package registry

import (
	"context"
	"errors"

	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// answerVirtual creates an object that is answered and not stored.
func (c caller) answerVirtual(ctx context.Context, k *kinds.Kind, t Target, in runtime.Object, o WriteOptions) (*Result, error) {
	if k.Runs != nil {
		return c.runAction(ctx, k, t, in, o)
	}
	serve := c.core.virtual[k.GR]
	if serve == nil {
		return nil, apierrors.NewMethodNotSupported(k.GR, verbCreate)
	}
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	obj, err := k.ToHub(ctx, t.Resource.Version, in)
	if err != nil {
		return nil, err
	}
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	wipeSystem(m) // before anybody shows the question in an error
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	r.Warn(dedupOwners(m, ""))
	obj = k.Fields.Create(r.write(ctx), obj)
	if obj, err = r.mutate(ctx, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	if k.Strategy.Validate != nil {
		if errs := k.Strategy.Validate(ctx, obj); len(errs) > 0 {
			return nil, told(ctx, r, apierrors.NewInvalid(schema.GroupKind{Group: k.Group}, "", errs)) // as upstream, which has lost kind and name here
		}
	}
	if err := r.validate(ctx, admission.Create, obj, nil); err != nil {
		return nil, err
	}
	answer, err := serve(ctx, r.user, r.t, obj, o)
	if err != nil {
		return nil, told(ctx, r, err)
	}
	return &Result{Answer: answer, Created: true, Warnings: r.Warnings()}, nil
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
	if serve := c.core.actions[action(k, r.sub)]; serve != nil {
		return c.serveAction(ctx, r, serve, body)
	}
	return c.do(ctx, r)
}

// serveAction hands the request to the package that owns the subject.
func (c caller) serveAction(ctx context.Context, r *request, serve Action, body runtime.Object) (*Result, error) {
	obj, err := c.Get(ctx, Target{Resource: r.t.Resource, Namespace: r.t.Namespace, Name: r.t.Name}, metav1.GetOptions{})
	if err != nil {
		return nil, err
	}
	a := r.attributes(admission.Create, r.k.Fields.Action(r.write(ctx), body), nil)
	if err := told(ctx, r, r.pass.Mutate(ctx, a)); err != nil {
		return nil, err
	}
	if err := told(ctx, r, r.pass.Validate(ctx, a)); err != nil {
		return nil, err
	}
	res, err := serve(ctx, r.user, r.t, obj, a.Object, r.o)
	if err != nil {
		return nil, told(ctx, r, err)
	}
	if res != nil {
		res.Warnings = append(r.Warnings(), res.Warnings...)
	}
	return res, nil
}

func (c caller) newAction(ctx context.Context, k *kinds.Kind, t Target, body runtime.Object, o WriteOptions) (*request, error) {
	r, err := c.newRequest(verbCreate, k, t, o)
	if err != nil {
		return nil, err
	}
	switch {
	case r.ID.Key == "":
		return nil, status.BadRequest("name must be provided")
	case r.sub == nil || r.sub.Style != resource.StyleAction:
		return nil, apierrors.NewMethodNotSupported(k.GR, verbCreate)
	case body == nil:
		return nil, status.BadRequest("an object is required")
	case r.sub.Action == nil && c.core.actions[action(k, r.sub)] == nil:
		return nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbCreate)
	}
	r.Plan = func(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
		return r.planAction(ctx, cur, body)
	}
	return r, nil
}

// planAction lets the kind change a copy of the object. As upstream's, the
// write passes by the object's own update hooks and managed fields.
func (r *request) planAction(ctx context.Context, cur *watch.Object, in runtime.Object) (*transaction.Change, error) {
	k := r.k
	if cur == nil {
		return nil, apierrors.NewNotFound(k.GR, r.t.Name)
	}
	body, err := r.admitAction(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := actionPreconditions(r, cur, body); err != nil {
		return nil, err
	}
	obj, err := k.Hub(ctx, cur.Obj)
	if err != nil {
		return nil, err
	}
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
	var ch *transaction.Change
	if del, ok := answer.(*metav1.DeleteOptions); ok {
		r.DryRun = r.DryRun || len(del.DryRun) > 0
		if ch, err = r.planDelete(ctx, cur, obj, *del.DeepCopy()); err != nil {
			err = r.refusedFirst(ctx, cur, obj, body, err)
		}
		answer = nil
	} else {
		ch, err = r.replace(ctx, cur, obj)
	}
	if err != nil {
		return nil, err
	}
	if !ch.Noop {
		if err := r.tx.Join(ctx, &r.Write, ch, r.sub.Companions, obj, body); err != nil {
			return nil, err
		}
	}
	if answer == nil {
		answer = &metav1.Status{Status: metav1.StatusSuccess}
	}
	ch.Reply = func(*watch.Object) (runtime.Object, error) { return answer, nil }
	return ch, nil
}

// refusedFirst is the error of an action whose deletion fails with err: what the kind has
// against the action comes before what the deletion asks for. A budget that allows no
// eviction says so, also to who names another version of the pod.
func (r *request) refusedFirst(ctx context.Context, cur *watch.Object, obj, body runtime.Object, err error) error {
	if refused := r.tx.Join(ctx, &r.Write, r.change(cur), r.sub.Companions, obj, body); refused != nil {
		return refused
	}
	return err
}

// actionPreconditions: a body that names a uid or a resourceVersion means the
// object in that state.
func actionPreconditions(r *request, cur *watch.Object, body runtime.Object) error {
	b, err := accessor(body)
	if err != nil {
		return nil // a body without metadata names nothing
	}
	m, err := accessor(cur.Obj)
	if err != nil {
		return err
	}
	if uid := b.GetUID(); uid != "" && uid != m.GetUID() {
		return status.Precondition(r.k.GR, r.ID.Key, r.t.Name, "UID", string(uid), string(m.GetUID()))
	}
	if rv := b.GetResourceVersion(); rv != "" && rv != m.GetResourceVersion() {
		return status.Precondition(r.k.GR, r.ID.Key, r.t.Name, "ResourceVersion", rv, m.GetResourceVersion())
	}
	return nil
}

// GetProjection reads a projected subresource.
func (c caller) GetProjection(ctx context.Context, t Target, o metav1.GetOptions) (runtime.Object, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	sub := k.Subresource(t.Subresource)
	if sub == nil || sub.Style != resource.StyleProjection || !sub.In(k.In(t.Resource.Version).Version) {
		return nil, status.UnknownResource(t.Resource.GroupResource())
	}
	t.Subresource = ""
	obj, err := c.Get(ctx, t, o)
	if err != nil {
		return nil, err
	}
	return project(versioned(ctx, k, t), sub, obj.Obj)
}

var errOptionsChanged = errors.New("an admission policy changes the options of a connect request, which cannot be done")

// AdmitConnect asks the admission rules about u's connect request to the
// subresource of t, whose options they see. Nothing is stored. Nobody is refused,
// as by the verbs.
func (c *Core) AdmitConnect(ctx context.Context, u user.Info, t Target, options runtime.Object) error {
	if u == nil || u.GetName() == "" {
		return refuse(t)
	}
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return err
	}
	r, err := caller{c, u}.newRequest(verbCreate, k, t, WriteOptions{})
	if err != nil || r.pass.Empty() {
		return err
	}
	a := r.attributes(admission.Connect, options.DeepCopyObject(), nil)
	if err := told(ctx, r, r.pass.Mutate(ctx, a)); err != nil {
		return err
	}
	if a.Mutated() && !apiequality.Semantic.DeepEqual(options, a.Object) {
		return apierrors.NewInternalError(errOptionsChanged)
	}
	return told(ctx, r, r.pass.Validate(ctx, a))
}
