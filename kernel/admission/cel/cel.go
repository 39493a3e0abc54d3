// Package cel makes admission rules of ValidatingAdmissionPolicy and
// MutatingAdmissionPolicy objects and their bindings. What an expression means, how
// a policy matches, and what is said about it, is upstream's: its libraries compile
// and judge. This package follows the objects, compiles each generation of a policy
// once, finds parameters, and puts one rule for all policies of a kind into the
// chain as long as there are any: without them a request costs nothing.
//
// It also keeps the two promises that are made when such objects are written: their
// author may read the parameters that he names ([Access]), and the status says what
// the type checker found ([Status], the leader's).
//
// Begin at Policies.Run. RATIONALE.md: "Why do CEL policies come from upstream's
// libraries, and not their plugins?"
package cel

import (
	"context"
	"log/slog"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission/plugin/policy/generic"
	"k8s.io/apiserver/pkg/admission/plugin/policy/matching"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
)

// The names of the rules in the chain, as upstream's plugins are called.
const (
	ValidatingName = "ValidatingAdmissionPolicy"
	MutatingName   = "MutatingAdmissionPolicy"
)

var (
	validatingPolicies = admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicies")
	validatingBindings = admissionv1.SchemeGroupVersion.WithResource("validatingadmissionpolicybindings")
	mutatingPolicies   = admissionv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicies")
	mutatingBindings   = admissionv1.SchemeGroupVersion.WithResource("mutatingadmissionpolicybindings")
)

// Implements are the resources that a Policies acts on; see kernel/implementers.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{validatingPolicies.GroupResource(), mutatingPolicies.GroupResource()}
}

// Config is what Policies are made of.
type Config struct {
	Chain    *admission.Chain
	Kinds    *dynamic.Kinds
	Objects  *dynamic.Objects // namespaces and parameters
	Registry informer.Source  // policies and bindings
	// Authorizer answers expressions that ask it.
	Authorizer authorizer.UnconditionalAuthorizer
	Informers  *informer.Metrics
	Log        *slog.Logger // nil discards
}

// Policies keeps the chain's rules for policies in CEL. It is safe for concurrent
// use.
type Policies struct {
	c       Config
	params  params
	sources []source
	synced  chan struct{}
}

// source is one kind of policies.
type source interface {
	follow() []*informer.Informer
	// rebuild puts what there is now into the chain; unresolved reports that a
	// policy names a kind of parameters that is not there.
	rebuild() (unresolved bool)
}

// New makes Policies. The chain is changed from Run on.
func New(c Config) *Policies {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	p := &Policies{c: c, params: params{kinds: c.Kinds, objects: c.Objects}, synced: make(chan struct{})}
	return p
}

// Synced is closed when the policies that were there at the start are asked.
func (p *Policies) Synced() <-chan struct{} { return p.synced }

// Run follows policies and bindings until ctx ends. It is called once.
func (p *Policies) Run(ctx context.Context) error {
	changed := make(informer.Signal, 1)
	namespaces := dynamic.Namespaces{Objects: p.c.Objects}
	matcher := matching.NewMatcher(namespaces.Lister(), namespaces.Client())
	if p.c.Kinds.Catalog.Lookup(validatingPolicies.GroupResource()) != nil {
		p.sources = append(p.sources, newValidating(p, matcher, changed))
	}
	if p.c.Kinds.Catalog.Lookup(mutatingPolicies.GroupResource()) != nil {
		p.sources = append(p.sources, newMutating(p, matcher, changed))
	}
	var following []*informer.Informer
	for _, s := range p.sources {
		following = append(following, s.follow()...)
	}
	done := make(chan struct{}, len(following))
	for _, i := range following {
		go func() { i.Run(ctx); done <- struct{}{} }()
	}
	defer func() {
		for range following {
			<-done
		}
	}()
	for _, i := range following {
		select {
		case <-i.Synced():
		case <-ctx.Done():
			return nil
		}
	}
	p.keep(ctx, changed)
	return nil
}

// keep rebuilds the rules whenever an object of theirs has changed, and when kinds
// have come while a policy waits for those of its parameters.
func (p *Policies) keep(ctx context.Context, changed informer.Signal) {
	for first := true; ; first = false {
		kinds := p.c.Kinds.Catalog.Snapshot().Superseded()
		waits := false
		for _, s := range p.sources {
			waits = s.rebuild() || waits
		}
		if first {
			close(p.synced)
		}
		if !waits {
			kinds = nil
		}
		select {
		case <-changed:
		case <-kinds:
		case <-ctx.Done():
			return
		}
	}
}

// follower makes an informer of a resource.
func (p *Policies) follower(gvr schema.GroupVersionResource, h informer.Handler) *informer.Informer {
	return informer.New(informer.Config{Name: "admission/" + gvr.Resource, Registry: p.c.Registry, Target: registry.Target{Resource: gvr},
		Handler: h, Metrics: p.c.Informers, Log: p.c.Log})
}

// dispatch asks the policies that were there when the rule was made.
func dispatch[H any](ctx context.Context, kinds *dynamic.Kinds, d generic.Dispatcher[H], hooks []H, a *admission.Attributes) (*dynamic.Request, error) {
	req, err := kinds.Request(ctx, a)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return req, dynamic.Answer(ctx, d.Dispatch(dynamic.WithWarnings(ctx, a), req, kinds, hooks))
}
