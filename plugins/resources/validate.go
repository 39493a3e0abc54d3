package resources

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/validate"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// declaration are the parameters of a kind's declarative validation: the
// options that its tags name, and how paths of hand-written errors map to
// those of declared ones.
type declaration struct {
	options map[string]bool
	rules   []field.NormalizationRule
}

func (b *bound[H, I]) validateCreate(ctx context.Context, obj runtime.Object) field.ErrorList {
	in, err := b.toInternal(hub[H](obj))
	if err != nil {
		return conversionFailed(err)
	}
	var errs field.ErrorList
	if b.validate != nil {
		errs = b.validate(in)
	}
	d := b.declaration(in, nil)
	return d.merge(ctx, errs, b.scheme.Validate(ctx, d.options, obj))
}

func (b *bound[H, I]) validateMainUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	check := b.rule.validateUpdate
	if check == nil && b.validate != nil {
		check = func(obj, _ *I) field.ErrorList { return b.validate(obj) }
	}
	return b.validatePart(ctx, obj, old, check)
}

func (b *bound[H, I]) validateStatusUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return b.validatePart(ctx, obj, old, b.validateStatus, "status")
}

// validatePart runs a check of an update, and the declared rules of the
// subresource, or of the main resource when none is named.
func (b *bound[H, I]) validatePart(ctx context.Context, obj, old runtime.Object, check func(obj, old *I) field.ErrorList, subresource ...string) field.ErrorList {
	in, err := b.toInternal(hub[H](obj))
	if err != nil {
		return conversionFailed(err)
	}
	oldIn, err := b.toInternal(hub[H](old))
	if err != nil {
		return conversionFailed(err)
	}
	var errs field.ErrorList
	if check != nil {
		errs = check(in, oldIn)
	}
	d := b.declaration(in, oldIn)
	return d.merge(ctx, errs, b.scheme.ValidateUpdate(ctx, d.options, obj, old, subresource...))
}

func (b *bound[H, I]) declaration(obj, old *I) declaration {
	if b.declare == nil {
		return declaration{}
	}
	return b.declare(obj, old)
}

// merge joins hand-written and declared errors as upstream does with its
// default gates: what both found is reported once.
func (d declaration) merge(ctx context.Context, written, declared field.ErrorList) field.ErrorList {
	if len(written) == 0 && len(declared) == 0 {
		return nil
	}
	const beta = true // DeclarativeValidationBeta
	declared = validate.FilterEnforcedDeclarativeErrors(ctx, declared, beta)
	written = validate.FilterCoveredHandwrittenErrors(ctx, written.MarkFromImperative(), declared, beta, d.rules...)
	return append(written, declared...)
}

func conversionFailed(err error) field.ErrorList {
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("conversion to the internal version: %w", err))}
}

// both runs the checks of a new object and those of the change.
func both[I any](create func(*I) field.ErrorList, update func(obj, old *I) field.ErrorList) func(obj, old *I) field.ErrorList {
	return func(obj, old *I) field.ErrorList { return append(create(obj), update(obj, old)...) }
}
