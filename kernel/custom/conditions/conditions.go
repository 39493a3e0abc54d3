// Package conditions decides what the status of a CustomResourceDefinition says:
// which names are accepted, and whether it is established, structural and approved.
//
// It is pure: what other definitions have been granted comes in as [Names], and
// nothing is read or written.
package conditions

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structural "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/util/webhook"
)

// Names tells which names of a definition's group are in use, by any definition of
// the group, the one in question among them.
type Names interface {
	// Resource: a plural, a singular or a short name.
	Resource(name string) bool
	// Kind: a kind, or a list's.
	Kind(name string) bool
}

// Next is the definition with the status that it should have; false: it has it
// already. crd is not changed.
func Next(crd *apiextensionsv1.CustomResourceDefinition, used Names) (*apiextensionsv1.CustomResourceDefinition, bool) {
	next := *crd
	next.Status = *crd.Status.DeepCopy()
	accepted, names := accept(&next, used)
	next.Status.AcceptedNames = accepted
	set(&next, &names)
	established := establish(&next, names.Status == apiextensionsv1.ConditionTrue)
	set(&next, &established)
	nonStructural := nonStructural(crd)
	if nonStructural == nil {
		apihelpers.RemoveCRDCondition(&next, apiextensionsv1.NonStructuralSchema)
	}
	set(&next, nonStructural)
	set(&next, approval(crd))
	return &next, !apiequality.Semantic.DeepEqual(&next.Status, &crd.Status)
}

// set sets a condition, if there is something to say that the status does not.
func set(crd *apiextensionsv1.CustomResourceDefinition, c *apiextensionsv1.CustomResourceDefinitionCondition) {
	if c == nil || apihelpers.IsCRDConditionEquivalent(c, apihelpers.FindCRDCondition(crd, c.Type)) {
		return
	}
	apihelpers.SetCRDCondition(crd, *c)
}

// accept grants each name that is free, or that was granted before; whatever was
// granted stays until something else can take its place.
func accept(crd *apiextensionsv1.CustomResourceDefinition, used Names) (apiextensionsv1.CustomResourceDefinitionNames, apiextensionsv1.CustomResourceDefinitionCondition) {
	want, had := &crd.Spec.Names, &crd.Status.AcceptedNames
	out := *had.DeepCopy()
	c := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.NamesAccepted, Status: apiextensionsv1.ConditionTrue, Reason: "NoConflicts", Message: "no conflicts found"}
	refuse := func(reason string, names ...string) {
		var texts []string
		for _, name := range names {
			texts = append(texts, fmt.Sprintf("%q is already in use", name))
		}
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionFalse, reason, strings.Join(texts, ", ")
		if len(texts) > 1 {
			c.Message = "[" + c.Message + "]"
		}
	}
	for _, n := range []struct {
		want, had string
		out       *string
		used      func(string) bool
		reason    string
	}{
		{want.Plural, had.Plural, &out.Plural, used.Resource, "PluralConflict"},
		{want.Singular, had.Singular, &out.Singular, used.Resource, "SingularConflict"},
		{"", "", nil, nil, "ShortNamesConflict"},
		{want.Kind, had.Kind, &out.Kind, used.Kind, "KindConflict"},
		{want.ListKind, had.ListKind, &out.ListKind, used.Kind, "ListKindConflict"},
	} {
		switch {
		case n.out == nil:
			if taken := takenShortNames(want.ShortNames, had.ShortNames, used); taken != nil {
				refuse(n.reason, taken...)
			} else {
				out.ShortNames = want.ShortNames
			}
		case n.want != n.had && n.used(n.want):
			refuse(n.reason, n.want)
		default:
			*n.out = n.want
		}
	}
	out.Categories = want.Categories
	return out, c
}

func takenShortNames(want, had []string, used Names) (taken []string) {
	for _, name := range want {
		if !slices.Contains(had, name) && used.Resource(name) {
			taken = append(taken, name)
		}
	}
	return taken
}

// establish: what is established stays so, whatever becomes of its names.
func establish(crd *apiextensionsv1.CustomResourceDefinition, accepted bool) apiextensionsv1.CustomResourceDefinitionCondition {
	c := apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionFalse}
	old := apihelpers.FindCRDCondition(crd, apiextensionsv1.Established)
	switch {
	case old != nil && (old.Status == apiextensionsv1.ConditionTrue || !accepted):
		return *old
	case !accepted:
		c.Reason, c.Message = "NotAccepted", "not all names are accepted"
	case badCABundle(crd):
		c.Reason, c.Message = "InvalidCABundle", "The conversion webhook CABundle is invalid"
	default:
		c.Status, c.Reason, c.Message = apiextensionsv1.ConditionTrue, "InitialNamesAccepted", "the initial names have been accepted"
	}
	return c
}

func badCABundle(crd *apiextensionsv1.CustomResourceDefinition) bool {
	conv := crd.Spec.Conversion
	return conv != nil && conv.Webhook != nil && conv.Webhook.ClientConfig != nil &&
		len(webhook.ValidateCABundle(field.NewPath(""), conv.Webhook.ClientConfig.CABundle)) > 0
}

// nonStructural names what a schema lacks to be structural; nil: nothing.
func nonStructural(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinitionCondition {
	c := &apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.NonStructuralSchema, Status: apiextensionsv1.ConditionTrue, Reason: "Violations"}
	var errs field.ErrorList
	if crd.Spec.PreserveUnknownFields {
		errs = append(errs, field.Invalid(field.NewPath("spec", "preserveUnknownFields"), true, "must be false"))
	}
	for i := range crd.Spec.Versions {
		v := &crd.Spec.Versions[i]
		if v.Schema == nil || v.Schema.OpenAPIV3Schema == nil {
			continue
		}
		var in apiextensions.CustomResourceValidation
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &in, nil); err != nil {
			continue
		}
		s, err := structural.NewStructural(in.OpenAPIV3Schema)
		if err != nil {
			c.Status, c.Reason = apiextensionsv1.ConditionUnknown, "StructuralError"
			c.Message = fmt.Sprintf("failed to check validation schema for version %s: %v", v.Name, err)
			return c
		}
		errs = append(errs, structural.ValidateStructural(field.NewPath("spec", "versions").Index(i).Child("schema", "openAPIV3Schema"), s)...)
	}
	if len(errs) == 0 {
		return nil
	}
	c.Message = errs.ToAggregate().Error()
	return c
}

// approval judges the groups of Kubernetes' own community; nil: it is none.
func approval(crd *apiextensionsv1.CustomResourceDefinition) *apiextensionsv1.CustomResourceDefinitionCondition {
	if !apihelpers.IsProtectedCommunityGroup(crd.Spec.Group) {
		return nil
	}
	c := &apiextensionsv1.CustomResourceDefinitionCondition{Type: apiextensionsv1.KubernetesAPIApprovalPolicyConformant, Status: apiextensionsv1.ConditionFalse}
	state, reason := apihelpers.GetAPIApprovalState(crd.Annotations)
	c.Message = reason
	switch state {
	case apihelpers.APIApprovalInvalid:
		c.Reason = "InvalidAnnotation"
	case apihelpers.APIApprovalMissing:
		c.Reason = "MissingAnnotation"
	case apihelpers.APIApproved:
		c.Status, c.Reason = apiextensionsv1.ConditionTrue, "ApprovedAnnotation"
	case apihelpers.APIApprovalBypassed:
		c.Reason = "UnapprovedAnnotation"
	default:
		c.Status, c.Reason = apiextensionsv1.ConditionUnknown, "UnknownAnnotation"
	}
	return c
}
