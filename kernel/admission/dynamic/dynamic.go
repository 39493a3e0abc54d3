// Package dynamic is what admission rules have in common that the cluster's people
// write as objects: policies in CEL (kernel/admission/cel) and webhooks
// (kernel/admission/webhook). It shows upstream's libraries, which match and judge,
// a request of ours in their terms, and follows the objects that such rules come
// from. It decides nothing.
//
// Begin at Kinds.Request. Everything here is safe for concurrent use, but for a
// Request, which is one goroutine's.
package dynamic

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
)

// Group holds the objects that such rules come from. No such rule is asked about
// them, so that whatever a rule refuses, it can be mended and removed.
const Group = "admissionregistration.k8s.io"

// configuration are the resources of Group.
var configuration = map[string]bool{
	"validatingadmissionpolicies": true, "validatingadmissionpolicybindings": true,
	"mutatingadmissionpolicies": true, "mutatingadmissionpolicybindings": true,
	"validatingwebhookconfigurations": true, "mutatingwebhookconfigurations": true,
}

// reviews are answered and not stored: a rule that refused one would refuse the
// question whether it may be asked.
var reviews = map[schema.GroupResource]bool{
	{Group: "authentication.k8s.io", Resource: "selfsubjectreviews"}:       true,
	{Group: "authentication.k8s.io", Resource: "tokenreviews"}:             true,
	{Group: "authorization.k8s.io", Resource: "localsubjectaccessreviews"}: true,
	{Group: "authorization.k8s.io", Resource: "selfsubjectaccessreviews"}:  true,
	{Group: "authorization.k8s.io", Resource: "selfsubjectrulesreviews"}:   true,
	{Group: "authorization.k8s.io", Resource: "subjectaccessreviews"}:      true,
}

// Exempt reports that no rule of the cluster's people is asked about a request: one
// for the objects that they come from, for a review, or of the server for its own
// objects, without which it would not start.
func Exempt(ctx context.Context, a *admission.Attributes) bool {
	return a.Resource.Group == Group && configuration[a.Resource.Resource] || reviews[a.Resource.GroupResource()] || admission.OfOwnObjects(ctx)
}

// Resources are the names of resources that rules are about, without groups,
// versions and subresources: what is looked at first, since most requests are about
// something else. Nil is all of them.
type Resources map[string]bool

// Add takes in what one rule names; it returns nil when that is everything.
func (r Resources) Add(names ...string) Resources {
	if r == nil {
		return nil
	}
	for _, name := range names {
		base := name
		for i := range name {
			if name[i] == '/' {
				base = name[:i]
				break
			}
		}
		if base == "*" {
			return nil
		}
		r[base] = true
	}
	return r
}

// Has reports that a rule may be about a resource.
func (r Resources) Has(name string) bool { return r == nil || r[name] }
