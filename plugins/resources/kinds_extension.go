package resources

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	admission "k8s.io/kubernetes/pkg/apis/admissionregistration"
	"k8s.io/kubernetes/pkg/apis/admissionregistration/validation"

	"github.com/pintle-io/pintle/kernel/resource"
)

// extensionKinds change what the API server does. Whether a policy's author
// may read its parameters is asked by the policy engine, which has the
// authorizer.
func extensionKinds() []*resource.Definition {
	group := admissionv1.GroupName
	return []*resource.Definition{
		define(names{group: group, kind: "MutatingAdmissionPolicy", resource: "mutatingadmissionpolicies", categories: extensions, cluster: true}, rule[admissionv1.MutatingAdmissionPolicy, admission.MutatingAdmissionPolicy]{
			generation:     bySpec,
			conditional:    true,
			validate:       named(validation.ValidateMutatingAdmissionPolicy),
			validateUpdate: validation.ValidateMutatingAdmissionPolicyUpdate,
			warn:           staticSuffixWarnings[admission.MutatingAdmissionPolicy],
		}),
		define(names{group: group, kind: "MutatingAdmissionPolicyBinding", resource: "mutatingadmissionpolicybindings", categories: extensions, cluster: true}, rule[admissionv1.MutatingAdmissionPolicyBinding, admission.MutatingAdmissionPolicyBinding]{
			generation:     bySpec,
			conditional:    true,
			validate:       named(validation.ValidateMutatingAdmissionPolicyBinding),
			validateUpdate: validation.ValidateMutatingAdmissionPolicyBindingUpdate,
			warn:           staticSuffixWarnings[admission.MutatingAdmissionPolicyBinding],
		}),
		define(names{group: group, kind: "MutatingWebhookConfiguration", resource: "mutatingwebhookconfigurations", categories: extensions, cluster: true}, rule[admissionv1.MutatingWebhookConfiguration, admission.MutatingWebhookConfiguration]{
			generation:  bySpec,
			conditional: true,
			changed: func(c, old *admissionv1.MutatingWebhookConfiguration) bool {
				return !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks)
			},
			validate:       named(validation.ValidateMutatingWebhookConfiguration),
			validateUpdate: validation.ValidateMutatingWebhookConfigurationUpdate,
			warn: func(ctx context.Context, c, old *admission.MutatingWebhookConfiguration) []string {
				return append(staticSuffixWarnings(ctx, c, old), validation.WarningsForMutatingWebhookRules(c.Webhooks, notIntercepted)...)
			},
		}),
		define(names{group: group, kind: "ValidatingAdmissionPolicy", resource: "validatingadmissionpolicies", categories: extensions, cluster: true}, rule[admissionv1.ValidatingAdmissionPolicy, admission.ValidatingAdmissionPolicy]{
			status:         hasStatusOnly,
			generation:     bySpec,
			conditional:    true,
			validate:       named(validation.ValidateValidatingAdmissionPolicy),
			validateUpdate: validation.ValidateValidatingAdmissionPolicyUpdate,
			validateStatus: validation.ValidateValidatingAdmissionPolicyStatusUpdate,
			warn:           staticSuffixWarnings[admission.ValidatingAdmissionPolicy],
		}),
		define(names{group: group, kind: "ValidatingAdmissionPolicyBinding", resource: "validatingadmissionpolicybindings", categories: extensions, cluster: true}, rule[admissionv1.ValidatingAdmissionPolicyBinding, admission.ValidatingAdmissionPolicyBinding]{
			generation:     bySpec,
			conditional:    true,
			validate:       named(validation.ValidateValidatingAdmissionPolicyBinding),
			validateUpdate: validation.ValidateValidatingAdmissionPolicyBindingUpdate,
			warn:           staticSuffixWarnings[admission.ValidatingAdmissionPolicyBinding],
		}),
		define(names{group: group, kind: "ValidatingWebhookConfiguration", resource: "validatingwebhookconfigurations", categories: extensions, cluster: true}, rule[admissionv1.ValidatingWebhookConfiguration, admission.ValidatingWebhookConfiguration]{
			generation:  bySpec,
			conditional: true,
			changed: func(c, old *admissionv1.ValidatingWebhookConfiguration) bool {
				return !equality.Semantic.DeepEqual(c.Webhooks, old.Webhooks)
			},
			validate:       named(validation.ValidateValidatingWebhookConfiguration),
			validateUpdate: validation.ValidateValidatingWebhookConfigurationUpdate,
			warn: func(ctx context.Context, c, old *admission.ValidatingWebhookConfiguration) []string {
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
	{Group: authenticationGroup, Resource: "selfsubjectreviews"},
	{Group: authenticationGroup, Resource: "tokenreviews"},
	{Group: authorizationGroup, Resource: "localsubjectaccessreviews"},
	{Group: authorizationGroup, Resource: "selfsubjectaccessreviews"},
	{Group: authorizationGroup, Resource: "selfsubjectrulesreviews"},
	{Group: authorizationGroup, Resource: "subjectaccessreviews"},
}
