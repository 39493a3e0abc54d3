package conditions_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apihelpers"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/custom/conditions"
)

// used are names that are in use, of resources and kinds alike.
type used []string

func (u used) Resource(name string) bool { return slices.Contains(u, name) }
func (u used) Kind(name string) bool     { return slices.Contains(u, name) }

func names(plural, kind string, short ...string) apiextensionsv1.CustomResourceDefinitionNames {
	return apiextensionsv1.CustomResourceDefinitionNames{Plural: plural, Singular: plural[:len(plural)-1], Kind: kind, ListKind: kind + "List", ShortNames: short}
}

func TestNext(t *testing.T) {
	established := []apiextensionsv1.CustomResourceDefinitionCondition{{Type: apiextensionsv1.Established, Status: apiextensionsv1.ConditionTrue, Reason: "InitialNamesAccepted", Message: "the initial names have been accepted", LastTransitionTime: metav1.Unix(1, 0)}}
	object := &apiextensionsv1.JSONSchemaProps{Type: "object"}
	for name, x := range map[string]struct {
		spec      apiextensionsv1.CustomResourceDefinitionNames
		status    apiextensionsv1.CustomResourceDefinitionStatus
		used      used
		change    func(*apiextensionsv1.CustomResourceDefinition)
		accepted  apiextensionsv1.CustomResourceDefinitionNames
		condition apiextensionsv1.CustomResourceDefinitionConditionType
		want      string // status, reason, part of the message
	}{
		"new": {spec: names("tabs", "Tab", "t"), accepted: names("tabs", "Tab", "t"), condition: apiextensionsv1.Established, want: "True InitialNamesAccepted"},
		"plural taken": {spec: names("tabs", "Tab"), used: used{"tabs"}, accepted: apiextensionsv1.CustomResourceDefinitionNames{Singular: "tab", Kind: "Tab", ListKind: "TabList"},
			condition: apiextensionsv1.NamesAccepted, want: `False PluralConflict "tabs" is already in use`},
		"plural taken, not established": {spec: names("tabs", "Tab"), used: used{"tabs"}, accepted: apiextensionsv1.CustomResourceDefinitionNames{Singular: "tab", Kind: "Tab", ListKind: "TabList"},
			condition: apiextensionsv1.Established, want: "False NotAccepted not all names are accepted"},
		"short names are granted together": {spec: names("tabs", "Tab", "a", "b", "c"), used: used{"b", "c"}, accepted: names("tabs", "Tab"),
			condition: apiextensionsv1.NamesAccepted, want: `False ShortNamesConflict ["b" is already in use, "c" is already in use]`},
		"what was granted stays": {spec: names("tabs", "Tab", "a"), status: apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: names("tabs", "Tab", "a")}, used: used{"tabs", "tab", "Tab", "TabList", "a"},
			accepted: names("tabs", "Tab", "a"), condition: apiextensionsv1.NamesAccepted, want: "True NoConflicts no conflicts found"},
		"a new name is taken: established under the old one": {spec: names("tabs", "Other"), status: apiextensionsv1.CustomResourceDefinitionStatus{AcceptedNames: names("tabs", "Tab"), Conditions: established}, used: used{"Other"},
			accepted:  apiextensionsv1.CustomResourceDefinitionNames{Plural: "tabs", Singular: "tab", Kind: "Tab", ListKind: "OtherList"},
			condition: apiextensionsv1.Established, want: "True InitialNamesAccepted"},
		"not structural": {spec: names("tabs", "Tab"), accepted: names("tabs", "Tab"), condition: apiextensionsv1.NonStructuralSchema, want: "True Violations spec.preserveUnknownFields: Invalid value: true: must be false",
			change: func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.PreserveUnknownFields = true }},
		"not approved": {spec: names("tabs", "Tab"), accepted: names("tabs", "Tab"), condition: apiextensionsv1.KubernetesAPIApprovalPolicyConformant, want: "False MissingAnnotation",
			change: func(crd *apiextensionsv1.CustomResourceDefinition) { crd.Spec.Group = "x.k8s.io" }},
		"a CA that is none": {spec: names("tabs", "Tab"), accepted: names("tabs", "Tab"), condition: apiextensionsv1.Established, want: "False InvalidCABundle",
			change: func(crd *apiextensionsv1.CustomResourceDefinition) {
				crd.Spec.Conversion = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter, Webhook: &apiextensionsv1.WebhookConversion{ClientConfig: &apiextensionsv1.WebhookClientConfig{CABundle: []byte("none")}}}
			}},
	} {
		crd := &apiextensionsv1.CustomResourceDefinition{Spec: apiextensionsv1.CustomResourceDefinitionSpec{Group: "x.example", Names: x.spec,
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{Name: "v1", Served: true, Storage: true, Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: object}}}}, Status: x.status}
		if x.change != nil {
			x.change(crd)
		}
		before := crd.DeepCopy()
		next, changed := conditions.Next(crd, x.used)
		if !changed {
			t.Errorf("%s: nothing changes", name)
		}
		if got := next.Status.AcceptedNames; !slices.Equal(got.ShortNames, x.accepted.ShortNames) || got.Plural != x.accepted.Plural || got.Singular != x.accepted.Singular || got.Kind != x.accepted.Kind || got.ListKind != x.accepted.ListKind {
			t.Errorf("%s: accepted %+v, want %+v", name, got, x.accepted)
		}
		c := apihelpers.FindCRDCondition(next, x.condition)
		if c == nil {
			t.Errorf("%s: no condition %s", name, x.condition)
			continue
		}
		if got := string(c.Status) + " " + c.Reason + " " + c.Message; !strings.HasPrefix(got, x.want) {
			t.Errorf("%s: %s, want %s", name, got, x.want)
		}
		if len(crd.Status.Conditions) != len(before.Status.Conditions) || crd.Status.AcceptedNames.Plural != before.Status.AcceptedNames.Plural {
			t.Errorf("%s: the definition was changed", name)
		}
		if again, changed := conditions.Next(next, x.used); changed {
			t.Errorf("%s: the second time there is something to write: %+v", name, again.Status)
		}
	}
}
