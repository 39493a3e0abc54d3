package schema

import (
	"context"
	"fmt"
	"math"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel/model"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/objectmeta"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/common"
)

// Validate checks a new object of this version.
func (s *Schema) Validate(ctx context.Context, u *unstructured.Unstructured) field.ErrorList {
	v, errs := s.begin(u)
	if errs != nil {
		return errs
	}
	errs = apivalidation.ValidateObjectMetaAccessor(u, s.namespaced, apivalidation.NameIsDNSSubdomain, field.NewPath("metadata"))
	errs = append(errs, validation.ValidateCustomResource(nil, u.Object, v.object)...)
	errs = append(errs, s.validateScale(u, true)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, u.Object, s.root, false)...)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, s.root, u.Object)...)
	return s.validateRules(ctx, errs, u.Object, nil)
}

// ValidateUpdate checks an object of this version that takes the place of old.
// What was invalid before and has not changed is let pass.
func (s *Schema) ValidateUpdate(ctx context.Context, u, old *unstructured.Unstructured) field.ErrorList {
	v, errs := s.begin(u)
	if errs != nil {
		return errs
	}
	both := s.correlate(u, old)
	errs = validation.ValidateCustomResourceUpdate(nil, u.Object, old.Object, v.object, validation.WithRatcheting(both))
	errs = append(errs, s.validateScale(u, true)...)
	errs = append(errs, objectmeta.Validate(ctx, nil, u.Object, s.root, false)...)
	errs = append(errs, s.validateLists(u, old)...)
	return s.validateRules(ctx, errs, u.Object, old.Object, cel.WithRatcheting(both))
}

// ValidateStatus checks an update of the status.
func (s *Schema) ValidateStatus(ctx context.Context, u, old *unstructured.Unstructured) field.ErrorList {
	v, errs := s.begin(u)
	if errs != nil {
		return errs
	}
	both := s.correlate(u, old)
	if status, ok := u.Object["status"]; ok {
		var options []validation.ValidationOption
		if s.root != nil {
			options = append(options, validation.WithRatcheting(both.Key("status")))
		}
		errs = validation.ValidateCustomResourceUpdate(field.NewPath("status"), status, old.Object["status"], v.status, options...)
	}
	errs = append(errs, s.validateScale(u, false)...)
	errs = append(errs, s.validateLists(u, old)...)
	return s.validateRules(ctx, errs, u.Object, old.Object, cel.WithRatcheting(both))
}

// begin gives the validators of an object that is of the version.
func (s *Schema) begin(u *unstructured.Unstructured) (validators, field.ErrorList) {
	var errs field.ErrorList
	if u.GetKind() != s.Kind.Kind {
		errs = append(errs, field.Invalid(field.NewPath("kind"), u.GetKind(), "must be "+s.Kind.Kind))
	}
	if want := s.Kind.GroupVersion().String(); u.GetAPIVersion() != want {
		errs = append(errs, field.Invalid(field.NewPath("apiVersion"), u.GetAPIVersion(), "must be "+want))
	}
	v, err := s.validators()
	if err != nil {
		errs = append(errs, field.InternalError(nil, fmt.Errorf("the schema cannot be used: %w", err)))
	}
	return v, errs
}

func (s *Schema) correlate(u, old *unstructured.Unstructured) *common.CorrelatedObject {
	return common.NewCorrelatedObject(u.Object, old.Object, &model.Structural{Structural: s.root})
}

// validateLists checks sets and maps, unless the old object broke the rule too.
func (s *Schema) validateLists(u, old *unstructured.Unstructured) field.ErrorList {
	errs := listtype.ValidateListSetsAndMaps(nil, s.root, u.Object)
	if len(errs) > 0 && len(listtype.ValidateListSetsAndMaps(nil, s.root, old.Object)) > 0 {
		return nil
	}
	return errs
}

// validateRules asks the CEL rules, within the budget of a request. They are for
// objects of the right form.
func (s *Schema) validateRules(ctx context.Context, errs field.ErrorList, obj, old any, options ...cel.Option) field.ErrorList {
	rules := s.rules()
	if rules == nil {
		return errs
	}
	for _, err := range errs {
		switch err.Type {
		case field.ErrorTypeNotSupported, field.ErrorTypeRequired, field.ErrorTypeTooLong, field.ErrorTypeTooMany, field.ErrorTypeTypeInvalid:
			return append(errs, field.Invalid(nil, nil, "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"))
		}
	}
	found, _ := rules.Validate(ctx, nil, s.root, obj, old, celconfig.RuntimeCELCostBudget, options...)
	return append(errs, found...)
}

// validateScale checks what the scale subresource shows.
func (s *Schema) validateScale(u *unstructured.Unstructured, whole bool) (errs field.ErrorList) {
	if s.scale == nil {
		return nil
	}
	if whole {
		errs = append(errs, validateReplicas(u, s.scale.SpecReplicasPath)...)
	}
	errs = append(errs, validateReplicas(u, s.scale.StatusReplicasPath)...)
	if path := s.scale.LabelSelectorPath; path != nil {
		if text, _, err := unstructured.NestedString(u.Object, steps(*path)...); err != nil {
			errs = append(errs, field.Invalid(field.NewPath(*path), text, err.Error()))
		}
	}
	return errs
}

func validateReplicas(u *unstructured.Unstructured, path string) field.ErrorList {
	n, _, err := unstructured.NestedInt64(u.Object, steps(path)...)
	switch {
	case err != nil:
		return field.ErrorList{field.Invalid(field.NewPath(path), n, err.Error())}
	case n < 0:
		return field.ErrorList{field.Invalid(field.NewPath(path), n, "should be a non-negative integer")}
	case n > math.MaxInt32:
		return field.ErrorList{field.Invalid(field.NewPath(path), n, fmt.Sprintf("should be less than or equal to %v", math.MaxInt32))}
	}
	return nil
}

// steps are the fields that a simple JSON path (".spec.replicas") leads through.
func steps(path string) []string { return strings.Split(strings.TrimPrefix(path, "."), ".") }

// Warnings are about finalizers that u has and old, which may be nil, has not.
func Warnings(u, old *unstructured.Unstructured) (warnings []string) {
	known := map[string]bool{metav1.FinalizerOrphanDependents: true, metav1.FinalizerDeleteDependents: true, string(corev1.FinalizerKubernetes): true}
	if old != nil {
		for _, f := range old.GetFinalizers() {
			known[f] = true
		}
	}
	at := field.NewPath("metadata", "finalizers").String()
	for _, f := range u.GetFinalizers() {
		if known[f] {
			continue
		}
		known[f] = true
		for _, msg := range utilvalidation.IsQualifiedName(f) {
			warnings = append(warnings, fmt.Sprintf("%s: %q: %s", at, f, msg))
		}
		if strings.Contains(f, "/") {
			continue
		}
		better := "prefer a domain-qualified finalizer name to avoid accidental conflicts with other finalizer writers"
		if strings.Contains(f, ".") {
			better = "prefer a domain-qualified finalizer name including a path (/) to avoid accidental conflicts with other finalizer writers"
		}
		warnings = append(warnings, fmt.Sprintf("%s: %q: %s", at, f, better))
	}
	return warnings
}
