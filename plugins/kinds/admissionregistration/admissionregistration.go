// Package admissionregistration defines the kinds of the API group admissionregistration.k8s.io. They
// change what the API server does.
package admissionregistration

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	admission "k8s.io/kubernetes/pkg/apis/admissionregistration"
	_ "k8s.io/kubernetes/pkg/apis/admissionregistration/install"
	"k8s.io/kubernetes/pkg/apis/admissionregistration/validation"

	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds/kind"
)

// Kinds change what the API server does. Whether a policy's author
// may read its parameters is asked by the policy engine, which has the
// authorizer.
func Kinds() []*resource.Definition {
	group := admissionv1.GroupName
	return []*resource.Definition{
		kind.Define(kind.Names{Group: group, Kind: "MutatingAdmissionPolicy", Resource: "mutatingadmissionpolicies", NeedsImplementer: true, Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.MutatingAdmissionPolicy, admission.MutatingAdmissionPolicy]{
			Generation:     kind.BySpec,
			Conditional:    true,
			Validate:       named(validation.ValidateMutatingAdmissionPolicy),
			ValidateUpdate: validation.ValidateMutatingAdmissionPolicyUpdate,
			Warn:           staticSuffixWarnings[admission.MutatingAdmissionPolicy],
		}),
		kind.Define(kind.Names{Group: group, Kind: "MutatingAdmissionPolicyBinding", Resource: "mutatingadmissionpolicybindings", Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.MutatingAdmissionPolicyBinding, admission.MutatingAdmissionPolicyBinding]{
			Generation:     kind.BySpec,
			Conditional:    true,
			Validate:       named(validation.ValidateMutatingAdmissionPolicyBinding),
			ValidateUpdate: validation.ValidateMutatingAdmissionPolicyBindingUpdate,
			Warn:           staticSuffixWarnings[admission.MutatingAdmissionPolicyBinding],
		}),
		kind.Define(kind.Names{Group: group, Kind: "MutatingWebhookConfiguration", Resource: "mutatingwebhookconfigurations", NeedsImplementer: true, Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.MutatingWebhookConfiguration, admission.MutatingWebhookConfiguration]{
			Generation:  kind.BySpec,
			Conditional: true,
			Changed: func(c, old *admissionv1.MutatingWebhookConfiguration) bool {
				return !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks)
			},
			Validate:       named(validation.ValidateMutatingWebhookConfiguration),
			ValidateUpdate: validation.ValidateMutatingWebhookConfigurationUpdate,
			Warn: func(ctx context.Context, c, old *admission.MutatingWebhookConfiguration) []string {
				return append(staticSuffixWarnings(ctx, c, old), validation.WarningsForMutatingWebhookRules(c.Webhooks, notIntercepted)...)
			},
		}),
		kind.Define(kind.Names{Group: group, Kind: "ValidatingAdmissionPolicy", Resource: "validatingadmissionpolicies", NeedsImplementer: true, Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.ValidatingAdmissionPolicy, admission.ValidatingAdmissionPolicy]{
			Status:         kind.HasStatusOnly,
			Generation:     kind.BySpec,
			Conditional:    true,
			Validate:       named(validation.ValidateValidatingAdmissionPolicy),
			ValidateUpdate: validation.ValidateValidatingAdmissionPolicyUpdate,
			ValidateStatus: validation.ValidateValidatingAdmissionPolicyStatusUpdate,
			Warn:           staticSuffixWarnings[admission.ValidatingAdmissionPolicy],
		}),
		kind.Define(kind.Names{Group: group, Kind: "ValidatingAdmissionPolicyBinding", Resource: "validatingadmissionpolicybindings", Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.ValidatingAdmissionPolicyBinding, admission.ValidatingAdmissionPolicyBinding]{
			Generation:     kind.BySpec,
			Conditional:    true,
			Validate:       named(validation.ValidateValidatingAdmissionPolicyBinding),
			ValidateUpdate: validation.ValidateValidatingAdmissionPolicyBindingUpdate,
			Warn:           staticSuffixWarnings[admission.ValidatingAdmissionPolicyBinding],
		}),
		kind.Define(kind.Names{Group: group, Kind: "ValidatingWebhookConfiguration", Resource: "validatingwebhookconfigurations", NeedsImplementer: true, Categories: kind.Extensions, Cluster: true}, kind.Rule[admissionv1.ValidatingWebhookConfiguration, admission.ValidatingWebhookConfiguration]{
			Generation:  kind.BySpec,
			Conditional: true,
			Changed: func(c, old *admissionv1.ValidatingWebhookConfiguration) bool {
				return !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks)
			},
			Validate:       named(validation.ValidateValidatingWebhookConfiguration),
			ValidateUpdate: validation.ValidateValidatingWebhookConfigurationUpdate,
			Warn: func(ctx context.Context, c, old *admission.ValidatingWebhookConfiguration) []string {
				return append(staticSuffixWarnings(ctx, c, old), validation.WarningsForValidatingWebhookRules(c.Webhooks, notIntercepted)...)
			},
		}),
	}
}

// named adds the rule about names that are reserved for configuration files.
func named[I any](check func(*I) field.ErrorList) func(*I) field.ErrorList {
	return func(obj *I) field.ErrorList {
		return append(check(obj), validation.ValidateStaticSuffix(any(obj).(metav1.Object).GetName(), field.NewPath("metadata", "name"))...)
	}
}

func staticSuffixWarnings[I any](_ context.Context, obj, old *I) []string {
	if old == nil {
		return nil // creation refuses such names
	}
	return validation.WarningsForStaticSuffix(any(obj).(metav1.Object).GetName())
}

// notIntercepted are the resources that admission webhooks never see.
var notIntercepted = []schema.GroupResource{
	{Group: authenticationv1.GroupName, Resource: "selfsubjectreviews"},
	{Group: authenticationv1.GroupName, Resource: "tokenreviews"},
	{Group: authorizationv1.GroupName, Resource: "localsubjectaccessreviews"},
	{Group: authorizationv1.GroupName, Resource: "selfsubjectaccessreviews"},
	{Group: authorizationv1.GroupName, Resource: "selfsubjectrulesreviews"},
	{Group: authorizationv1.GroupName, Resource: "subjectaccessreviews"},
}
