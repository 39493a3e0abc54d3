package cel

import (
	"context"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	plugincel "k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/cel/environment"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
)

// mutatingSource makes the rule of MutatingAdmissionPolicy objects.
type mutatingSource struct {
	p          *Policies
	dispatcher generic.Dispatcher[mutating.PolicyHook]
	hooks      hooks[*admissionv1.MutatingAdmissionPolicy, *admissionv1.MutatingAdmissionPolicyBinding, mutating.PolicyEvaluator]
}

func newMutating(p *Policies, m *matching.Matcher, changed informer.Signal) *mutatingSource {
	s := &mutatingSource{p: p, dispatcher: mutating.NewDispatcher(p.c.Authorizer, m, converters{p.c.Kinds})}
	s.hooks.policies = dynamic.NewSet[*admissionv1.MutatingAdmissionPolicy](changed)
	s.hooks.bindings = dynamic.NewSet[*admissionv1.MutatingAdmissionPolicyBinding](changed)
	s.hooks.policy, s.hooks.binding = mutating.NewMutatingAdmissionPolicyAccessor, mutating.NewMutatingAdmissionPolicyBindingAccessor
	s.hooks.compile, s.hooks.params = compileMutating, &p.params
	return s
}

func (s *mutatingSource) follow() []*informer.Informer {
	return []*informer.Informer{s.p.follower(mutatingPolicies, s.hooks.policies), s.p.follower(mutatingBindings, s.hooks.bindings)}
}

func (s *mutatingSource) rebuild() (unresolved bool) {
	hooks, unresolved := s.hooks.build()
	if len(hooks) == 0 {
		s.p.c.Chain.Remove(MutatingName)
		return false
	}
	about := dynamic.Resources{}
	for _, h := range hooks {
		about = constrained(about, h.Policy.Spec.MatchConstraints)
	}
	mutate := func(ctx context.Context, a *admission.Attributes) error {
		// A deletion has no object that could be changed.
		if a.Operation == admission.Delete || !about.Has(a.Resource.Resource) || dynamic.Exempt(ctx, a) {
			return nil
		}
		req, err := dispatch(ctx, s.p.c.Kinds, s.dispatcher, hooks, a)
		if err == nil {
			a.Object = req.GetObject()
		}
		return err
	}
	s.p.c.Chain.Set(MutatingName, admission.OrderMutatingPolicies, admission.Rule{Mutate: admission.MutatorFunc(mutate)})
	return unresolved
}

// compileMutating compiles a policy. What is wrong with an expression is said when
// it is asked.
func compileMutating(p *admissionv1.MutatingAdmissionPolicy) mutating.PolicyEvaluator {
	c, err := plugincel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		panic(err) // hooks makes it the policy's configuration error
	}
	vars := plugincel.OptionalVariableDeclarations{HasParams: p.Spec.ParamKind != nil, HasAuthorizer: true}
	patchVars := vars
	patchVars.HasPatchTypes = true
	c.CompileAndStoreVariables(variables(p.Spec.Variables), vars, environment.StoredExpressions)
	out := mutating.PolicyEvaluator{CompositedCompiler: c, Matcher: conditions(c, p.Spec.MatchConditions, vars, p.Spec.FailurePolicy, p.Name)}
	for _, m := range p.Spec.Mutations {
		switch {
		case m.PatchType == admissionv1.PatchTypeJSONPatch && m.JSONPatch != nil:
			expression := &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}
			out.Mutators = append(out.Mutators, patch.NewJSONPatcher(c.CompileMutatingEvaluator(expression, patchVars, environment.StoredExpressions)))
		case m.PatchType == admissionv1.PatchTypeApplyConfiguration && m.ApplyConfiguration != nil:
			expression := &patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}
			out.Mutators = append(out.Mutators, patch.NewApplyConfigurationPatcher(c.CompileMutatingEvaluator(expression, patchVars, environment.StoredExpressions)))
		}
	}
	return out
}

// converters find how apply configurations are merged into the objects of a kind:
// as server-side apply merges them. Nothing is fetched and nothing grows old.
type converters struct{ kinds *dynamic.Kinds }

// GetTypeConverter implements patch.TypeConverterManager. What is no resource (Scale,
// Binding) has no schema and no lists to merge: what it is can be seen of it.
func (c converters) GetTypeConverter(gvk schema.GroupVersionKind) managedfields.TypeConverter {
	t := c.kinds.Catalog.Snapshot()
	if d := t.LookupKind(gvk.GroupKind()); d != nil {
		if own := t.TypeConverterOf(d); own != nil {
			return own
		}
	}
	return managedfields.NewDeducedTypeConverter()
}

// Run implements patch.TypeConverterManager.
func (converters) Run(context.Context) {}

var _ patch.TypeConverterManager = converters{}
