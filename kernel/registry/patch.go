package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/registry/fieldmanager"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Patch changes an object by a JSON patch, a merge patch, a strategic merge
// patch or an apply configuration.
func (c caller) Patch(ctx context.Context, t Target, pt types.PatchType, patch []byte, o WriteOptions) (*Result, error) {
	k, err := c.kindOf(ctx, t)
	if err != nil {
		return nil, err
	}
	r, p, err := c.newPatch(k, t, pt, patch, o)
	if err != nil {
		return nil, err
	}
	defer p.release()
	return c.execute(ctx, r)
}

func (c caller) newPatch(k *kind, t Target, pt types.PatchType, patch []byte, o WriteOptions) (*request, *patcher, error) {
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
	if r.key == "" {
		return nil, nil, badRequest("name must be provided")
	}
	if r.sub != nil && (r.sub.Style == resource.StyleAction || r.sub.Style == resource.StyleConnect) {
		return nil, nil, apierrors.NewMethodNotSupported(k.subresource(r.sub), verbPatch)
	}
	if err := checkPatch(pt, patch); err != nil {
		return nil, nil, err
	}
	p := &patcher{c: c.Core, r: r, bytes: patch, kind: pt, strict: o.FieldValidation}
	r.plan = c.guarded(p.plan)
	return r, p, nil
}

// checkPatch refuses what is not worth planning.
func checkPatch(pt types.PatchType, patch []byte) error {
	if len(patch) > MaxPatchBytes {
		return apierrors.NewRequestEntityTooLargeError(fmt.Sprintf("limit is %d", MaxPatchBytes))
	}
	switch pt {
	case types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType:
		if !json.Valid(patch) {
			return badRequest("invalid JSON patch")
		}
	case types.ApplyYAMLPatchType:
		if json.Valid(patch) {
			break
		}
		if _, err := yaml.YAMLToJSON(patch); err != nil {
			return badRequestf("error encoding patch: %v", err)
		}
	default:
		return unsupportedPatch(types.JSONPatchType, types.MergePatchType, types.StrategicMergePatchType, types.ApplyYAMLPatchType)
	}
	return nil
}

// unsupportedPatch names the types of patches that would be taken.
func unsupportedPatch(accepted ...types.PatchType) error {
	list := make([]string, len(accepted))
	for i, t := range accepted {
		list[i] = string(t)
	}
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " + strings.Join(list, ", "),
	}}
}

type planFunc = func(ctx context.Context, r *request, cur *watch.Object) (*change, error)

// guarded turns a panic while a client's patch is worked on into its error:
// the libraries that merge are not ours, and the bytes are anybody's.
func (c *Core) guarded(plan planFunc) planFunc {
	return func(ctx context.Context, r *request, cur *watch.Object) (ch *change, err error) {
		defer func() {
			if p := recover(); p != nil {
				c.log.Error("applying a patch panicked", "resource", r.k.gr.String(), "name", r.t.Name, "panic", p)
				ch, err = nil, badRequestf("the patch cannot be applied: %v", p)
			}
		}()
		return plan(ctx, r, cur)
	}
}

// patcher plans one patch.
type patcher struct {
	c      *Core
	r      *request
	bytes  []byte
	kind   types.PatchType
	strict string // field validation
	held   int64  // of Core.patching
}

func (p *patcher) plan(ctx context.Context, r *request, cur *watch.Object) (*change, error) {
	if r.sub != nil && r.sub.Style == resource.StyleProjection {
		return p.planProjection(ctx, r, cur)
	}
	if cur == nil {
		if p.kind != types.ApplyYAMLPatchType || r.sub != nil {
			return nil, r.k.notFound(r.t.Name)
		}
		return p.planApplyCreate(ctx, r)
	}
	obj, err := p.patched(ctx, cur.Obj)
	if err != nil {
		return nil, err
	}
	m, err := p.checkIdentity(r, obj)
	if err != nil {
		return nil, err
	}
	if err := r.matchRevision(m, cur); err != nil {
		return nil, err
	}
	if p.kind != types.ApplyYAMLPatchType {
		obj = r.k.fields.Update(r.write(), cur.Obj, obj)
	}
	return p.c.revise(ctx, r, cur, obj)
}

func (p *patcher) planApplyCreate(ctx context.Context, r *request) (*change, error) {
	empty, err := r.k.newObject()
	if err != nil {
		return nil, plain(err)
	}
	obj, err := p.apply(empty)
	if err != nil {
		return nil, err
	}
	m, err := p.checkIdentity(r, obj)
	if err != nil {
		return nil, err
	}
	if uid := m.GetUID(); uid != "" {
		return nil, apierrors.NewConflict(r.k.gr, r.t.Name, fmt.Errorf(
			"uid mismatch: the provided object specified uid %s, and no existing object was found", uid))
	}
	return p.c.createOver(ctx, r, obj)
}

func (p *patcher) checkIdentity(r *request, obj runtime.Object) (metav1.Object, error) {
	m, err := accessor(obj)
	if err != nil {
		return nil, err
	}
	if err := matchNamespace(r.t.Namespace, m); err != nil {
		return nil, err
	}
	return m, matchName(r.t.Name, m)
}

// patched gives a private object of the hub version: cur with the patch in it.
func (p *patcher) patched(ctx context.Context, cur runtime.Object) (runtime.Object, error) {
	if p.kind == types.ApplyYAMLPatchType {
		return p.apply(cur)
	}
	k := p.r.k
	gvk := p.c.kindIn(k, p.r.t)
	versioned, err := p.c.versioned(k, gvk, cur)
	if err != nil {
		return nil, err
	}
	var out runtime.Object
	if p.kind == types.StrategicMergePatchType {
		out, err = p.strategic(versioned, gvk)
	} else {
		out, err = p.jsonPatched(ctx, versioned, gvk)
	}
	if err != nil {
		return nil, err
	}
	if gvk != k.hub {
		if out, err = p.c.codec.Convert(out, k.hub.GroupVersion()); err != nil {
			return nil, badRequestf("converting to %s: %v", k.hub.GroupVersion(), err)
		}
	}
	out.GetObjectKind().SetGroupVersionKind(k.hub)
	return out, nil
}

// kindIn is the kind in the request's version.
func (c *Core) kindIn(k *kind, t Target) schema.GroupVersionKind {
	return k.version(t).WithKind(k.Kind)
}

// versioned gives obj in the request's version. The result may share memory
// with obj: it is only read.
func (c *Core) versioned(k *kind, gvk schema.GroupVersionKind, obj runtime.Object) (runtime.Object, error) {
	if gvk == k.hub {
		return fieldmanager.WithKind(obj, gvk), nil
	}
	out, err := c.codec.Convert(obj, gvk.GroupVersion())
	if err != nil {
		return nil, plain(fmt.Errorf("converting to %s: %w", gvk.GroupVersion(), err))
	}
	return fieldmanager.WithKind(out, gvk), nil
}
