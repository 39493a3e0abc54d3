package registry

import (
	"context"
	"fmt"
	"log/slog"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/pintle-io/pintle/kernel/registry/kinds"
	"github.com/pintle-io/pintle/kernel/registry/patch"
	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Patch changes an object by a JSON patch, a merge patch, a strategic merge
// patch or an apply configuration.
func (c caller) Patch(ctx context.Context, t Target, pt types.PatchType, data []byte, o WriteOptions) (*Result, error) {
	k, err := c.core.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, p, err := c.newPatch(k, t, pt, data, o)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	return c.do(ctx, r)
}

func (c caller) newPatch(k *kinds.Kind, t Target, pt types.PatchType, data []byte, o WriteOptions) (*request, *patch.Patch, error) {
	verb := verbPatch
	if pt == types.ApplyYAMLPatchType {
		verb = verbApply
		if o.FieldManager == "" {
			return nil, nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "PatchOptions"}, "", field.ErrorList{
				field.Required(field.NewPath("fieldManager"), "is required for apply patch"),
			})
		}
	} else if o.Force {
		return nil, nil, apierrors.NewInvalid(schema.GroupKind{Group: metav1.GroupName, Kind: "PatchOptions"}, "", field.ErrorList{
			field.Forbidden(field.NewPath("force"), "may not be specified for non-apply patch"),
		})
	}
	r, err := c.newRequest(verb, k, t, o)
	if err != nil {
		return nil, nil, err
	}
	if r.ID.Key == "" {
		return nil, nil, status.BadRequest("name must be provided")
	}
	if r.sub != nil && (r.sub.Style == resource.StyleAction || r.sub.Style == resource.StyleConnect) {
		return nil, nil, apierrors.NewMethodNotSupported(k.SubresourceName(r.sub), verbPatch)
	}
	parsed, err := c.core.patches.Parse(pt, data, o.FieldValidation, r.Warn)
	if err != nil {
		return nil, nil, err
	}
	p := &patcher{r: r, patch: parsed, scheme: c.core.scheme}
	r.Plan = guarded(r, p.plan, c.core.log)
	return r, parsed, nil
}

// guarded turns a panic while a client's patch is worked on into its error:
// the libraries that merge are not ours, and the bytes are anybody's.
func guarded(r *request, plan transaction.Plan, log *slog.Logger) transaction.Plan {
	return func(ctx context.Context, cur *watch.Object) (ch *transaction.Change, err error) {
		defer func() {
			if p := recover(); p != nil {
				log.Warn("applying a patch panicked", "resource", r.k.GR.String(), "name", r.t.Name, "panic", p)
				ch, err = nil, status.BadRequestf("the patch cannot be applied: %v", p)
			}
		}()
		return plan(ctx, cur)
	}
}

// patcher plans one patch.
type patcher struct {
	r      *request
	patch  *patch.Patch
	scheme *runtime.Scheme // of the kinds of projections
}

func (p *patcher) plan(ctx context.Context, cur *watch.Object) (*transaction.Change, error) {
	r := p.r
	if r.sub != nil && r.sub.Style == resource.StyleProjection {
		return p.planProjection(ctx, cur)
	}
	if cur == nil {
		if !p.patch.Applies() || r.sub != nil {
			return nil, apierrors.NewNotFound(r.k.GR, r.t.Name)
		}
		return p.planApplyCreate(ctx)
	}
	obj, err := p.patched(ctx, cur.Obj)
	if err != nil {
		return nil, err
	}
	m, err := checkIdentity(r.t, obj)
	if err != nil {
		return nil, err
	}
	if err := r.matchRevision(m, cur); err != nil {
		return nil, err
	}
	if !p.patch.Applies() {
		obj = r.k.Fields.Update(r.write(ctx), cur.Obj, obj)
	}
	return r.revise(ctx, cur, obj)
}

func (p *patcher) planApplyCreate(ctx context.Context) (*transaction.Change, error) {
	r := p.r
	empty, err := r.k.Fields.Empty(r.write(ctx).Version)
	if err != nil {
		return nil, status.Plain(err)
	}
	obj, err := p.apply(ctx, empty)
	if err != nil {
		return nil, err
	}
	m, err := checkIdentity(r.t, obj)
	if err != nil {
		return nil, err
	}
	if uid := m.GetUID(); uid != "" {
		return nil, apierrors.NewConflict(r.k.GR, r.t.Name, fmt.Errorf(
			"uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	return r.createOver(ctx, obj)
}

func checkIdentity(t Target, obj runtime.Object) (metav1.Object, error) {
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := matchNamespace(t.Namespace, m); err != nil {
		return nil, err
	}
	return m, matchName(t.Name, m)
}

// patched gives a private object of the hub version: cur with the patch in it.
func (p *patcher) patched(ctx context.Context, cur runtime.Object) (runtime.Object, error) {
	if p.patch.Applies() {
		return p.apply(ctx, cur)
	}
	k, version := p.r.k, p.r.t.Resource.Version
	versioned, err := k.Versioned(ctx, version, cur)
	if err != nil {
		return nil, err
	}
	out, err := p.patch.To(ctx, versioned, patch.Subject{Kind: k.KindIn(version), Types: k.Typer})
	if err != nil {
		return nil, err
	}
	return k.FromVersioned(ctx, version, out)
}

// apply merges the apply configuration into live, which is not modified, and
// gives the result in the hub version with its managedFields.
func (p *patcher) apply(ctx context.Context, live runtime.Object) (runtime.Object, error) {
	r := p.r
	kind := r.k.KindIn(r.t.Resource.Version)
	if r.sub != nil && !r.sub.Kind.Empty() {
		kind = r.sub.Kind
	}
	config, err := p.patch.Configuration(kind)
	if err != nil {
		return nil, err
	}
	out, err := r.k.Fields.Apply(r.write(ctx), live, config, r.o.Force)
	if err != nil {
		return nil, status.Plain(err) // or a conflict with other managers, or a bad request
	}
	return out, p.patch.CheckKeys()
}
