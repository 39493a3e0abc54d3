// Package webhook makes admission rules of MutatingWebhookConfiguration and
// ValidatingWebhookConfiguration objects. Matching, the order of calls, what is sent,
// how an answer is read and what the client is told of it is upstream's, whose
// plugins do the calling. This package feeds them with the objects, finds the servers
// that Services stand for, bounds what an answer may be, and puts one rule for all
// webhooks of a kind into the chain as long as there are any.
//
// Begin at Webhooks.Run. RATIONALE.md: "Why are upstream's webhook plugins fed by
// hand?"
package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/generic"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/webhook/validating"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/informer/shared"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// The names of the rules in the chain, as upstream's plugins are called.
const (
	MutatingName   = "MutatingAdmissionWebhook"
	ValidatingName = "ValidatingAdmissionWebhook"
)

var (
	mutatingConfigurations   = admissionv1.SchemeGroupVersion.WithResource("mutatingwebhookconfigurations")
	validatingConfigurations = admissionv1.SchemeGroupVersion.WithResource("validatingwebhookconfigurations")
)

// Implements are the resources that Webhooks act on; see kernel/implementers.
func Implements() []schema.GroupResource {
	return []schema.GroupResource{mutatingConfigurations.GroupResource(), validatingConfigurations.GroupResource()}
}

// Config is what Webhooks are made of.
type Config struct {
	Chain    *admission.Chain
	Kinds    *dynamic.Kinds
	Objects  *dynamic.Objects // namespaces, Services and their endpoints
	Registry informer.Source  // configurations
	// Authorizer answers match conditions that ask it.
	Authorizer authorizer.UnconditionalAuthorizer
	// Dial connects to webhooks; nil dials directly.
	Dial      func(ctx context.Context, network, address string) (net.Conn, error)
	Informers *informer.Metrics
	Log       *slog.Logger // nil discards
}

// Webhooks keeps the chain's rules for webhooks. It is safe for concurrent use.
type Webhooks struct {
	c       Config
	changed informer.Signal
	sources []*source
	synced  chan struct{}
	outages *outages
}

// source is one kind of configurations.
type source struct {
	resource schema.GroupVersionResource
	handler  informer.Handler
	// rebuild puts what there is now into the chain.
	rebuild func()
}

// New makes Webhooks. The chain is changed from Run on.
func New(c Config) (*Webhooks, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	w := &Webhooks{c: c, changed: make(informer.Signal, 1), synced: make(chan struct{}), outages: newOutages(c.Log)}
	if err := w.addMutating(); err != nil {
		return nil, fmt.Errorf("mutating webhooks: %w", err)
	}
	if err := w.addValidating(); err != nil {
		return nil, fmt.Errorf("validating webhooks: %w", err)
	}
	return w, nil
}

// prepare gives one of upstream's plugins what it needs.
func (w *Webhooks) prepare(p *generic.Webhook, f feed) error {
	namespaces := dynamic.Namespaces{Objects: w.c.Objects}
	f.namespaces = namespaces
	p.SetExternalKubeClientSet(namespaces.Client())
	p.SetExternalKubeInformerFactory(f)
	p.SetUnconditionalAuthorizer(w.c.Authorizer)
	p.SetServiceResolver(&services{objects: w.c.Objects})
	p.SetAuthenticationInfoResolverWrapper(connections{dial: w.c.Dial, outages: w.outages, most: maxAnswer}.wrap)
	return p.ValidateInitialization()
}

func (w *Webhooks) addMutating() error {
	plugin, err := mutating.NewMutatingWebhook(nil)
	if err != nil {
		return err
	}
	set := shared.New[*admissionv1.MutatingWebhookConfiguration](w.changed)
	set.MarkSynced() // requests are held until it has
	if err := w.prepare(plugin.Webhook, feed{mutating: set}); err != nil {
		return err
	}
	rebuild := func() {
		about, some := dynamic.Resources{}, false
		for _, c := range set.List() {
			for i := range c.Webhooks {
				about, some = intercepted(about, c.Webhooks[i].Rules), true
			}
		}
		if !some {
			w.c.Chain.Remove(MutatingName)
			return
		}
		ask := func(ctx context.Context, a *admission.Attributes) error {
			req, err := w.call(ctx, about, a, plugin.Admit)
			if req != nil && err == nil {
				a.Object = req.GetObject()
			}
			return err
		}
		w.c.Chain.Set(MutatingName, admission.OrderMutatingWebhooks, admission.Rule{Mutate: admission.MutatorFunc(ask)})
	}
	w.sources = append(w.sources, &source{mutatingConfigurations, set, rebuild})
	return nil
}

func (w *Webhooks) addValidating() error {
	plugin, err := validating.NewValidatingAdmissionWebhook(nil)
	if err != nil {
		return err
	}
	set := shared.New[*admissionv1.ValidatingWebhookConfiguration](w.changed)
	set.MarkSynced()
	if err := w.prepare(plugin.Webhook, feed{validating: set}); err != nil {
		return err
	}
	rebuild := func() {
		about, some := dynamic.Resources{}, false
		for _, c := range set.List() {
			for i := range c.Webhooks {
				about, some = intercepted(about, c.Webhooks[i].Rules), true
			}
		}
		if !some {
			w.c.Chain.Remove(ValidatingName)
			return
		}
		ask := func(ctx context.Context, a *admission.Attributes) error {
			_, err := w.call(ctx, about, a, plugin.Validate)
			return err
		}
		w.c.Chain.Set(ValidatingName, admission.OrderValidatingWebhooks, admission.Rule{Validate: admission.ValidatorFunc(ask)})
	}
	w.sources = append(w.sources, &source{validatingConfigurations, set, rebuild})
	return nil
}

// intercepted adds the resources that rules are about.
func intercepted(about dynamic.Resources, rules []admissionv1.RuleWithOperations) dynamic.Resources {
	for _, r := range rules {
		about = about.Add(r.Resources...)
	}
	return about
}

// call asks upstream's plugin; the request is nil if it was not asked.
func (w *Webhooks) call(ctx context.Context, about dynamic.Resources, a *admission.Attributes, ask func(context.Context, upstream.Attributes, upstream.ObjectInterfaces) error) (*dynamic.Request, error) {
	if !about.Has(a.Resource.Resource) || dynamic.Exempt(ctx, a) {
		return nil, nil
	}
	req, err := w.c.Kinds.Request(ctx, a)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	return req, answer(dynamic.Answer(ctx, ask(dynamic.WithWarnings(ctx, a), req, w.c.Kinds)))
}

// answer is an answer to the client as HTTP has it: the code of a denial is the
// webhook's, and may be anything. Upstream makes 400 of those below; of those
// beyond it makes a panic. A failure is the webhook's, not the server's.
func answer(err error) error {
	denial, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok || denial.ErrStatus.Code < http.StatusInternalServerError {
		return err
	}
	if denial.ErrStatus.Code >= 600 {
		denial.ErrStatus.Code = http.StatusBadRequest
	}
	return resource.OfOutsider(err)
}

// Synced is closed when the webhooks that were there at the start are asked.
func (w *Webhooks) Synced() <-chan struct{} { return w.synced }

// Run follows configurations until ctx ends. It is called once.
func (w *Webhooks) Run(ctx context.Context) error {
	var following []*informer.Informer
	for _, s := range w.sources {
		if w.c.Kinds.Catalog.Lookup(s.resource.GroupResource()) == nil {
			continue
		}
		following = append(following, informer.New(informer.Config{Name: "admission/" + s.resource.Resource, Registry: w.c.Registry,
			Target: registry.Target{Resource: s.resource}, Handler: s.handler, Metrics: w.c.Informers, Log: w.c.Log}))
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
	for first := true; ; first = false {
		for _, s := range w.sources {
			s.rebuild()
		}
		if first {
			close(w.synced)
		}
		select {
		case <-w.changed:
		case <-ctx.Done():
			return nil
		}
	}
}
