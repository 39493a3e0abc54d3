package cel

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/matchconditions"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
)

// validatingSource makes the rule of ValidatingAdmissionPolicy objects.
type validatingSource struct {
	p          *Policies
	dispatcher generic.Dispatcher[validating.PolicyHook]
	hooks      hooks[*admissionv1.ValidatingAdmissionPolicy, *admissionv1.ValidatingAdmissionPolicyBinding, validating.Validator]
}

func newValidating(p *Policies, m *matching.Matcher, changed informer.Signal) *validatingSource {
	s := &validatingSource{p: p, dispatcher: validating.NewDispatcher(p.c.Authorizer, generic.NewPolicyMatcher(m))}
	s.hooks.policies = dynamic.NewSet[*admissionv1.ValidatingAdmissionPolicy](changed)
	s.hooks.bindings = dynamic.NewSet[*admissionv1.ValidatingAdmissionPolicyBinding](changed)
	s.hooks.policy, s.hooks.binding = validating.NewValidatingAdmissionPolicyAccessor, validating.NewValidatingAdmissionPolicyBindingAccessor
	s.hooks.compile, s.hooks.params = compileValidating, &p.params
	return s
}

func (s *validatingSource) follow() []*informer.Informer {
	return []*informer.Informer{s.p.follower(validatingPolicies, s.hooks.policies), s.p.follower(validatingBindings, s.hooks.bindings)}
}

func (s *validatingSource) rebuild() (unresolved bool) {
	hooks, unresolved := s.hooks.build()
	if len(hooks) == 0 {
		s.p.c.Chain.Remove(ValidatingName)
		return false
	}
	about := dynamic.Resources{}
	for _, h := range hooks {
		about = constrained(about, h.Policy.Spec.MatchConstraints)
	}
	validate := func(ctx context.Context, a *admission.Attributes) error {
		if !about.Has(a.Resource.Resource) || dynamic.Exempt(ctx, a) {
			return nil
		}
		_, err := dispatch(ctx, s.p.c.Kinds, s.dispatcher, hooks, a)
		return err
	}
	s.p.c.Chain.Set(ValidatingName, admission.OrderValidatingPolicies, admission.Rule{Validate: admission.ValidatorFunc(validate)})
	return unresolved
}

// constrained adds the resources that a policy is about.
func constrained(about dynamic.Resources, m *admissionv1.MatchResources) dynamic.Resources {
	if m == nil || len(m.ResourceRules) == 0 {
		return about.Add("*") // everything, or a configuration error for everything
	}
	for _, r := range m.ResourceRules {
		about = about.Add(r.Resources...)
	}
	return about
}

// compileValidating compiles a policy. What is wrong with an expression is said
// when it is asked.
func compileValidating(p *admissionv1.ValidatingAdmissionPolicy) validating.Validator {
	c, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		return validating.NewValidator(nil, nil, nil, nil, p.Spec.FailurePolicy, err)
	}
	vars := plugincel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true}
	messageVars := vars
	messageVars.HasAuthorizer = false
	c.CompileAndStoreVariables(variables(p.Spec.Variables), vars, environment.StoredExpressions)
	validations := make([]plugincel.ExpressionAccessor, len(p.Spec.Validations))
	messages := make([]plugincel.ExpressionAccessor, len(p.Spec.Validations)) // nil without an expression
	for i, v := range p.Spec.Validations {
		validations[i] = &validating.ValidationCondition{Expression: v.Expression, Message: v.Message, Reason: v.Reason}
		if v.MessageExpression != "" {
			messages[i] = &validating.MessageExpressionCondition{MessageExpression: v.MessageExpression}
		}
	}
	annotations := make([]plugincel.ExpressionAccessor, len(p.Spec.AuditAnnotations))
	for i, a := range p.Spec.AuditAnnotations {
		annotations[i] = &validating.AuditAnnotationCondition{Key: a.Key, ValueExpression: a.ValueExpression}
	}
	return validating.NewValidator(
		c.CompileCondition(validations, vars, environment.StoredExpressions),
		conditions(c, p.Spec.MatchConditions, vars, p.Spec.FailurePolicy, p.Name),
		c.CompileCondition(annotations, vars, environment.StoredExpressions),
		c.CompileCondition(messages, messageVars, environment.StoredExpressions),
		p.Spec.FailurePolicy, nil)
}

func variables(list []admissionv1.Variable) []plugincel.NamedExpressionAccessor {
	out := make([]plugincel.NamedExpressionAccessor, len(list))
	for i, v := range list {
		out[i] = &validating.Variable{Name: v.Name, Expression: v.Expression}
	}
	return out
}

// conditions compiles match conditions; nil when there are none.
func conditions(c *plugincel.CompositedCompiler, list []admissionv1.MatchCondition, vars plugincel.OptionalVariableDeclarations, failure *admissionv1.FailurePolicyType, name string) matchconditions.Matcher {
	if len(list) == 0 {
		return nil
	}
	out := make([]plugincel.ExpressionAccessor, len(list))
	for i := range list {
		out[i] = (*matchconditions.MatchCondition)(&list[i])
	}
	return matchconditions.NewMatcher(c.CompileCondition(out, vars, environment.StoredExpressions), failure, "policy", "validate", name)
}
