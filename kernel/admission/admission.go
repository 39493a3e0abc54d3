// Package admission is the chain that stands between a request and the store:
// rules that may change an object (mutate) and rules that may refuse it
// (validate). It owns order, matching, failure policies and the wording of a
// refusal; what a rule says is the rule's own affair, and most rules are
// plugins.
//
// It keeps nothing, reads no store and knows one kind, Namespace, only by the
// name of its resource (see [NewLifecycle]). A [Chain] may be used and changed
// from any goroutine. Start reading at Attributes, then Chain.
package admission

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"
)

// Operation is what a request does to an object.
type Operation string

// The operations, spelled as upstream's admission reviews spell them.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// Attributes is one request as rules see it.
type Attributes struct {
	Operation   Operation
	Resource    schema.GroupVersionResource
	Kind        schema.GroupVersionKind
	Subresource string
	Namespace   string
	Name        string // may be empty on create with generateName, in the mutating phase

	// Object is the object as it would be stored, of the hub version (or of
	// the subresource's own kind: a Binding, a Scale). Nil on delete. Mutators
	// may change it in place or replace it; validators must not touch it.
	Object runtime.Object
	// Old is the object as it is stored; nil on create. It is shared with the
	// cache: nobody may modify it.
	Old runtime.Object
	// Options are the request's options (metav1.CreateOptions and so on), if
	// the caller has them.
	Options runtime.Object
	DryRun  bool
	// User is who asks: a client, a plugin, or a component of this process under a
	// name of its own. A rule that decides by it takes nil for nobody, and refuses.
	User user.Info
	// Scratch is for rules of one kind to keep what they derived from the
	// objects, from one rule to the next (kernel/plugin/admit: records).
	Scratch any
	// Warnings takes a message for the client's Warning headers. Nil drops it.
	Warnings func(string)

	mutated      bool
	reinvocation *Reinvocation
	charges      []Charge
}

// Mutated reports that a rule may have changed Object, so that defaults are
// due again.
func (a *Attributes) Mutated() bool { return a.mutated }

// Warn passes a message to the client, if it listens.
func (a *Attributes) Warn(message string) {
	if a.Warnings != nil {
		a.Warnings(message)
	}
}

// Mutator changes a request's object before it is validated.
//
// It must return when ctx ends. Any error refuses the request, see [Rule].
type Mutator interface {
	Mutate(ctx context.Context, a *Attributes) error
}

// Validator refuses a request by returning an error. It changes nothing and
// must return when ctx ends.
type Validator interface {
	Validate(ctx context.Context, a *Attributes) error
}

// MutatorFunc adapts a function to a Mutator.
type MutatorFunc func(ctx context.Context, a *Attributes) error

// Mutate calls f.
func (f MutatorFunc) Mutate(ctx context.Context, a *Attributes) error { return f(ctx, a) }

// ValidatorFunc adapts a function to a Validator.
type ValidatorFunc func(ctx context.Context, a *Attributes) error

// Validate calls f.
func (f ValidatorFunc) Validate(ctx context.Context, a *Attributes) error { return f(ctx, a) }

var (
	_ Mutator   = MutatorFunc(nil)
	_ Validator = ValidatorFunc(nil)
)
