// Package podtemplate is what the kinds that make pods have in common: they hold
// a template, and ask the same of it.
package podtemplate

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	podutil "k8s.io/kubernetes/pkg/api/pod"
	"k8s.io/kubernetes/pkg/apis/core"
	"k8s.io/kubernetes/pkg/apis/core/validation"
)

// Kinds that make pods hold a template, and ask the same of it.

// Of is the template of an object that may be nil.
func Of[I any](obj *I, get func(*I) *core.PodTemplateSpec) *core.PodTemplateSpec {
	if obj == nil {
		return nil
	}
	return get(obj)
}

// DropDisabled clears what disabled features would need.
func DropDisabled[I any](get func(*I) *core.PodTemplateSpec) func(context.Context, *I, *I) {
	return func(_ context.Context, obj, old *I) {
		podutil.DropDisabledTemplateFields(get(obj), Of(old, get))
	}
}

// Check validates with the options that follow from the templates.
func Check[I any](get func(*I) *core.PodTemplateSpec, check func(*I, validation.PodValidationOptions) field.ErrorList) func(*I) field.ErrorList {
	return func(obj *I) field.ErrorList {
		return check(obj, podutil.GetValidationOptionsFromPodTemplate(get(obj), nil))
	}
}

// CheckUpdate is Check for an update.
func CheckUpdate[I any](get func(*I) *core.PodTemplateSpec, check func(obj, old *I, o validation.PodValidationOptions) field.ErrorList) func(obj, old *I) field.ErrorList {
	return func(obj, old *I) field.ErrorList {
		return check(obj, old, podutil.GetValidationOptionsFromPodTemplate(get(obj), get(old)))
	}
}

// Warnings are upstream's: of a new template, and of an update that
// raised the generation.
func Warnings[I any](ctx context.Context, path *field.Path, obj, old *I, get func(*I) *core.PodTemplateSpec) []string {
	if old == nil {
		return podutil.GetWarningsForPodTemplate(ctx, path, get(obj), nil)
	}
	if generationOf(obj) == generationOf(old) {
		return nil
	}
	return podutil.GetWarningsForPodTemplate(ctx, path, get(obj), get(old))
}

// Warn gives the Warnings of the template in spec.template.
func Warn[I any](get func(*I) *core.PodTemplateSpec) func(context.Context, *I, *I) []string {
	return func(ctx context.Context, obj, old *I) []string {
		return Warnings(ctx, field.NewPath("spec", "template"), obj, old, get)
	}
}

// WarnWithName also complains of a name that does not fit into the
// names of pods.
func WarnWithName[I any](get func(*I) *core.PodTemplateSpec) func(context.Context, *I, *I) []string {
	return func(ctx context.Context, obj, old *I) []string {
		var out []string
		if old == nil {
			out = NameWarning(any(obj).(metav1.Object).GetName(), "this is used in Pod names and hostnames")
		}
		return append(out, Warnings(ctx, field.NewPath("spec", "template"), obj, old, get)...)
	}
}

// NameWarning complains of a name that is not a DNS label; use says what it
// becomes part of.
func NameWarning(name, use string) []string {
	msgs := utilvalidation.IsDNS1123Label(name)
	if len(msgs) == 0 {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: %s, which can result in surprising behavior; a DNS label is recommended: %v", use, msgs)}
}

func generationOf[I any](obj *I) int64 { return any(obj).(metav1.Object).GetGeneration() }
