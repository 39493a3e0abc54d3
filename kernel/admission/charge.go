package admission

import (
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Charge changes another object in the commit that writes a request's object: a total
// that it keeps, to which other requests add too. Nothing is charged for a request
// that fails, changes nothing or is a dry run.
type Charge struct {
	Resource        schema.GroupResource
	Namespace, Name string
	// Apply makes the state after the charge of cur, the object as it is when the
	// request is committed, which it must not modify. An error says that the charge
	// does not fit that state: the rules are asked again. It may be called several
	// times, from any goroutine, and after the rule's call.
	Apply func(cur runtime.Object) (runtime.Object, error)
}

// Charge adds a charge to the request. Validators call it, for requests that create
// or update an object; what is charged for others is dropped.
func (a *Attributes) Charge(c Charge) { a.charges = append(a.charges, c) }

// Charges are those of all rules that were asked.
func (a *Attributes) Charges() []Charge { return a.charges }
