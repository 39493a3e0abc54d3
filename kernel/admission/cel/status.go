package cel

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/internal/backoff"
	"github.com/pintle-io/pintle/kernel/admission/dynamic"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Status writes what the type checker finds in validating policies into their
// status, as upstream's controller does. One server does so for all.
type Status struct {
	Registry  registry.Registry // of the controller
	Catalog   *resource.Catalog
	Informers *informer.Metrics
	Clock     clock.Clock  // nil is the real one
	Log       *slog.Logger // nil discards
}

// statusManager owns the fields, under upstream's name.
const statusManager = "validatingadmissionpolicy-status"

// Run checks policies until ctx ends.
func (s *Status) Run(ctx context.Context) error {
	if s.Clock == nil {
		s.Clock = clock.RealClock{}
	}
	if s.Log == nil {
		s.Log = slog.New(slog.DiscardHandler)
	}
	if s.Catalog.Lookup(validatingPolicies.GroupResource()) == nil {
		<-ctx.Done() // there are none
		return nil
	}
	changed := make(informer.Signal, 1)
	policies := dynamic.NewSet[*admissionv1.ValidatingAdmissionPolicy](changed)
	follow := informer.New(informer.Config{Name: "policy status", Registry: s.Registry, Target: registry.Target{Resource: validatingPolicies},
		Handler: policies, Metrics: s.Informers, Log: s.Log})
	done := make(chan struct{})
	go func() { follow.Run(ctx); close(done) }()
	defer func() { <-done }()
	retry := backoff.New(time.Second, time.Minute)
	var again <-chan time.Time
	for {
		select {
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return nil
		}
		again = nil
		switch err := s.checkAll(ctx, policies.List()); {
		case err == nil:
			retry.Succeeded(s.Log)
		case ctx.Err() == nil:
			again = s.Clock.After(retry.Failed(s.Log, "the status of a policy is not written", err))
		}
	}
}

// checkAll checks the policies whose present generation has not been checked. What
// the checker reads is made for one round and let go: schemas of all kinds are large.
func (s *Status) checkAll(ctx context.Context, list []*admissionv1.ValidatingAdmissionPolicy) error {
	var checker *validating.TypeChecker
	var first error
	for _, p := range list {
		if p.Generation <= p.Status.ObservedGeneration {
			continue
		}
		if checker == nil {
			checker = newChecker(s.Catalog.Snapshot())
		}
		if err := s.check(ctx, checker, p); err != nil && first == nil {
			first = fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return first
}

func (s *Status) check(ctx context.Context, c *validating.TypeChecker, p *admissionv1.ValidatingAdmissionPolicy) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("type checking: panic: %v", r)
		}
	}()
	status, err := json.Marshal(map[string]any{
		"apiVersion": admissionv1.SchemeGroupVersion.String(), "kind": "ValidatingAdmissionPolicy", "metadata": map[string]any{"name": p.Name},
		"status": map[string]any{"observedGeneration": p.Generation, "typeChecking": typeChecking(c.Check(p))},
	})
	if err != nil {
		return err
	}
	_, err = s.Registry.Patch(ctx, registry.Target{Resource: validatingPolicies, Name: p.Name, Subresource: "status"}, types.ApplyYAMLPatchType, status,
		registry.WriteOptions{FieldManager: statusManager, Force: true})
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

func typeChecking(warnings []admissionv1.ExpressionWarning) map[string]any {
	if len(warnings) == 0 {
		return map[string]any{}
	}
	return map[string]any{"expressionWarnings": warnings}
}

// newChecker makes the type checker of the kinds of a table.
func newChecker(t *resource.Table) *validating.TypeChecker {
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, d := range t.Definitions {
		scope := meta.RESTScopeRoot
		if d.Namespaced {
			scope = meta.RESTScopeNamespace
		}
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			mapper.AddSpecific(gv.WithKind(d.Kind), gv.WithResource(d.Resource), gv.WithResource(d.Singular), scope)
		}
	}
	x := schemas{table: t}
	if t.OpenAPI != nil {
		x.builtIn = resolver.NewDefinitionsSchemaResolver(t.OpenAPI, t.Scheme)
	}
	return &validating.TypeChecker{SchemaResolver: x, RestMapper: mapper}
}

// schemas resolves the schemas of kinds, custom ones by their definitions.
type schemas struct {
	table   *resource.Table
	builtIn resolver.SchemaResolver // may be nil
}

// ResolveSchema implements resolver.SchemaResolver.
func (x schemas) ResolveSchema(gvk schema.GroupVersionKind) (*spec.Schema, error) {
	d := x.table.LookupKind(gvk.GroupKind())
	switch {
	case d != nil && d.Schema != nil:
		if s := d.Schema(gvk.Version, false); s != nil {
			return withMeta(s), nil
		}
	case x.builtIn != nil && (d == nil || d.Types == nil):
		return x.builtIn.ResolveSchema(gvk)
	}
	return nil, fmt.Errorf("cannot resolve %v: %w", gvk, resolver.ErrSchemaNotFound)
}

// withMeta adds what a definition may leave out: an object has a kind and metadata.
func withMeta(s *spec.Schema) *spec.Schema {
	out := *s
	out.Properties = make(map[string]spec.Schema, len(s.Properties)+3)
	for name, p := range s.Properties {
		out.Properties[name] = p
	}
	for _, name := range []string{"apiVersion", "kind"} {
		out.Properties[name] = *spec.StringProperty()
	}
	out.Properties["metadata"] = objectMeta
	if len(out.Type) == 0 {
		out.Type = spec.StringOrArray{"object"}
	}
	return &out
}

// objectMeta are the fields of metadata that expressions may read.
var objectMeta = func() spec.Schema {
	text, texts := *spec.StringProperty(), *spec.MapProperty(spec.StringProperty())
	m := spec.Schema{SchemaProps: spec.SchemaProps{Type: spec.StringOrArray{"object"}}}
	m.Properties = map[string]spec.Schema{"name": text, "generateName": text, "namespace": text, "uid": text, "resourceVersion": text,
		"creationTimestamp": *spec.DateTimeProperty(), "deletionTimestamp": *spec.DateTimeProperty(), "generation": *spec.Int64Property(),
		"labels": texts, "annotations": texts, "finalizers": *spec.ArrayProperty(spec.StringProperty()), "selfLink": text, "deletionGracePeriodSeconds": *spec.Int64Property()}
	return m
}()

var _ resolver.SchemaResolver = schemas{}
