package implementers

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Kinds finds definitions; a resource.Catalog is one.
type Kinds interface {
	Lookup(gr schema.GroupResource) *resource.Definition
}

// Rule warns who creates an object of a kind that needs an implementer and has
// none. It refuses nothing.
type Rule struct {
	Set   *Set
	Kinds Kinds
	// Known is closed once everybody who was there at the start has declared
	// himself or failed to: nobody is warned before.
	Known <-chan struct{}
}

// Validate implements admission.Validator.
func (r *Rule) Validate(_ context.Context, a *admission.Attributes) error {
	if a.Operation != admission.Create || a.Subresource != "" || a.Warnings == nil {
		return nil
	}
	gr := a.Resource.GroupResource()
	d := r.Kinds.Lookup(gr)
	if d == nil || !d.NeedsImplementer || len(r.Set.Of(gr)) > 0 {
		return nil
	}
	select {
	case <-r.Known:
		a.Warn(fmt.Sprintf("%s is stored, but nobody acts on it: no plugin that is loaded, and no part of Pintle, implements %s (docs/plugins.md, \"Who acts on a kind\")", d.Kind, gr))
	default:
	}
	return nil
}

var _ admission.Validator = (*Rule)(nil)
