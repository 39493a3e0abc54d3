package cel

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"

	"github.com/pintle-io/pintle/kernel/admission/dynamic"
)

// object is a pointer to a policy or a binding.
type object interface {
	runtime.Object
	metav1.Object
}

// compiled is a generation of a policy with what came of it.
type compiled[E any] struct {
	uid        types.UID
	generation int64
	evaluator  E
	err        error
}

// hooks makes upstream's pairs of policies and bindings from the objects there are,
// and compiles each generation of a policy once. It is used by one goroutine.
type hooks[P, B object, E any] struct {
	policies *dynamic.Set[P]
	bindings *dynamic.Set[B]
	policy   func(P) generic.PolicyAccessor
	binding  func(B) generic.BindingAccessor
	compile  func(P) E
	params   *params

	known map[string]compiled[E] // by the policy's name
}

// build pairs what there is now. Policies without bindings are not asked.
func (h *hooks[P, B, E]) build() (out []generic.PolicyHook[P, B, E], unresolved bool) {
	bound := map[string][]B{}
	for _, b := range h.bindings.List() {
		name := h.binding(b).GetPolicyName().Name
		bound[name] = append(bound[name], b)
	}
	known := make(map[string]compiled[E], len(h.known))
	for _, p := range h.policies.List() {
		name := p.GetName()
		if len(bound[name]) == 0 {
			continue
		}
		c := h.compiled(p)
		known[name] = c
		hook := generic.PolicyHook[P, B, E]{Policy: p, Bindings: bound[name], Evaluator: c.evaluator, ConfigurationError: c.err}
		if kind := h.policy(p).GetParamKind(); kind != nil && c.err == nil {
			hook.ParamInformer, hook.ParamScope, hook.ConfigurationError = h.params.of(kind)
			unresolved = unresolved || hook.ConfigurationError != nil
		}
		out = append(out, hook)
	}
	h.known = known
	return out, unresolved
}

func (h *hooks[P, B, E]) compiled(p P) (c compiled[E]) {
	if c, ok := h.known[p.GetName()]; ok && c.uid == p.GetUID() && c.generation == p.GetGeneration() {
		return c
	}
	c = compiled[E]{uid: p.GetUID(), generation: p.GetGeneration()}
	defer func() {
		if r := recover(); r != nil { // a policy hurts itself alone
			c.err = fmt.Errorf("compiling the policy: panic: %v", r)
		}
	}()
	c.evaluator = h.compile(p)
	return c
}
