package kind

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/validate"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Declaration are the parameters of a kind's declarative validation: the
// options that its tags name, and how paths of hand-written errors map to
// those of declared ones.
type Declaration struct {
	Options map[string]bool
	Rules   []field.NormalizationRule
}

func (b *bound[H, I]) validateCreate(ctx context.Context, obj runtime.Object) field.ErrorList {
	in, err := b.toInternal(Hub[H](obj))
	if err != nil {
		return conversionFailed(err)
	}
	var errs field.ErrorList
	if b.Validate != nil {
		errs = b.Validate(in)
	}
	d := b.declaration(in, nil)
	return d.merge(ctx, errs, b.scheme.Validate(ctx, d.Options, obj))
}

func (b *bound[H, I]) validateMainUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	check := b.Rule.ValidateUpdate
	if check == nil && b.Validate != nil {
		check = func(obj, _ *I) field.ErrorList { return b.Validate(obj) }
	}
	return b.validatePart(ctx, obj, old, check)
}

func (b *bound[H, I]) validateStatusUpdate(ctx context.Context, obj, old runtime.Object) field.ErrorList {
	return b.validatePart(ctx, obj, old, b.ValidateStatus, "status")
}

// validatePart runs a check of an update, and the declared rules of the
// subresource, or of the main resource when none is named.
func (b *bound[H, I]) validatePart(ctx context.Context, obj, old runtime.Object, check func(obj, old *I) field.ErrorList, subresource ...string) field.ErrorList {
	in, err := b.toInternal(Hub[H](obj))
	if err != nil {
		return conversionFailed(err)
	}
	oldIn, err := b.toInternal(Hub[H](old))
	if err != nil {
		return conversionFailed(err)
	}
	var errs field.ErrorList
	if check != nil {
		errs = check(in, oldIn)
	}
	d := b.declaration(in, oldIn)
	return d.merge(ctx, errs, b.scheme.ValidateUpdate(ctx, d.Options, obj, old, subresource...))
}

func (b *bound[H, I]) declaration(obj, old *I) Declaration {
	if b.Declare == nil {
		return Declaration{}
	}
	return b.Declare(obj, old)
}

// merge joins hand-written and declared errors as upstream does with its
// default gates: what both found is reported once.
func (d Declaration) merge(ctx context.Context, written, declared field.ErrorList) field.ErrorList {
	if len(written) == 0 && len(declared) == 0 {
		return nil
	}
	const beta = true // DeclarativeValidationBeta
	declared = validate.FilterEnforcedDeclarativeErrors(ctx, declared, beta)
	written = validate.FilterCoveredHandwrittenErrors(ctx, written.MarkFromImperative(), declared, beta, d.Rules...)
	return append(written, declared...)
}

func conversionFailed(err error) field.ErrorList {
	return field.ErrorList{field.InternalError(nil, fmt.Errorf("conversion to the internal version: %w", err))}
}

// Both runs the checks of a new object and those of the change.
func Both[I any](create func(*I) field.ErrorList, update func(obj, old *I) field.ErrorList) func(obj, old *I) field.ErrorList {
	return func(obj, old *I) field.ErrorList { return append(create(obj), update(obj, old)...) }
}
