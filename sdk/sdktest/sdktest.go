// Package sdktest helps authors to test plugins natively, with go test: policies
// are asked with plain structs, controllers run against a small store in
// memory, scheduling plugins are asked about a pod and nodes by [Try].
// scheduling.NewPod and scheduling.NewSnapshot make the arguments of their single
// points.
//
// What it does not model is told at [Store]. A test in a real cluster is
// `pintle plugin load` away.
package sdktest

import (
	"testing"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

// Open makes the points of a registered plugin, which are of type P:
//
//	points := sdktest.Open[*admission.Points](t, "no-latest", "")
func Open[P sdk.Points](t testing.TB, name, config string) P {
	t.Helper()
	p, ok := sdk.Lookup(name)
	if !ok {
		t.Fatalf("no plugin %q is registered: import its package", name)
	}
	points, err := p.New([]byte(config))
	if err != nil {
		t.Fatalf("open plugin %s: %v", name, err)
	}
	typed, ok := points.(P)
	if !ok {
		t.Fatalf("plugin %s has points of type %T", name, points)
	}
	return typed
}

// Request is what an admission policy is asked. Object and Old are structs
// with JSON tags or trees of maps; nil when absent.
type Request struct {
	Operation       admission.Operation // "" is Create
	Resource, Kind  string
	Subresource     string
	Namespace, Name string
	User            string
	Groups          []string
	DryRun          bool
	Object, Old     any
	// Store is what the policy's Reader reads; nil holds nothing.
	Store *Store
}

// Validate asks the points' Validate.
func Validate(t testing.TB, p *admission.Points, q Request) admission.Verdict {
	t.Helper()
	return ask(t, p, p.Validate, q)
}

// Mutate asks the points' Mutate.
func Mutate(t testing.TB, p *admission.Points, q Request) admission.Verdict {
	t.Helper()
	return ask(t, p, p.Mutate, q)
}

func ask(t testing.TB, p *admission.Points, rule func(*admission.Review) error, q Request) admission.Verdict {
	t.Helper()
	if rule == nil {
		t.Fatal("the plugin does not serve this point")
	}
	if q.Operation == "" {
		q.Operation = admission.Create
	}
	fields, err := record.FieldsOfPaths(p.Fields...)
	if err != nil {
		t.Fatal(err)
	}
	r := &admission.Review{Operation: q.Operation, Resource: q.Resource, Kind: q.Kind, Subresource: q.Subresource, Namespace: q.Namespace,
		Name: q.Name, User: q.User, Groups: q.Groups, DryRun: q.DryRun, Object: value(t, q.Object, fields), Old: value(t, q.Old, fields), Reader: q.reader()}
	if err := rule(r); err != nil {
		t.Fatalf("the policy failed: %v", err)
	}
	if err := r.Undeclared(); err != nil {
		t.Fatal(err)
	}
	return r.Verdict()
}

func (q Request) reader() client.Reader {
	if q.Store == nil {
		q.Store = &Store{}
	}
	return remote.NewReader(q.Store.call)
}

// Value views a struct as a policy sees it; nil does not exist.
func Value(t testing.TB, v any) sdk.Value {
	t.Helper()
	return value(t, v, nil)
}

func value(t testing.TB, v any, fields *record.Fields) sdk.Value {
	t.Helper()
	if v == nil {
		return sdk.Value{}
	}
	b, err := encoder.Plan(fields).Append(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	out, err := record.Parse(b, fields)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
