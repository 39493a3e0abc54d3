package sdk

import (
	"encoding/json"
	"fmt"

	"github.com/pintle-io/pintle/sdk/tape"
)

// Operation is a verb that admission sees.
type Operation string

// The operations.
const (
	Create  Operation = "CREATE"
	Update  Operation = "UPDATE"
	Delete  Operation = "DELETE"
	Connect Operation = "CONNECT"
)

// MatchRule selects requests. A request matches when every non-empty field
// holds it; empty fields hold everything, except that empty Operations mean
// Create and Update.
type MatchRule struct {
	Operations []Operation
	// Resources as "apps/v1/deployments", "v1/pods", "v1/pods/status";
	// "apps/*/deployments" is any version, "apps/*/*" a whole group, "*" all
	// resources. A rule without a subresource does not match subresources,
	// except "*".
	Resources []string
	// Namespaces and their exceptions; cluster-scoped objects match only when
	// Namespaces is empty.
	Namespaces       []string
	ExceptNamespaces []string
}

// Review is one admission request. It is valid during the call only.
type Review struct {
	Operation   Operation
	Resource    string // "apps/v1/deployments"
	Subresource string
	Kind        string // "apps/v1/Deployment"
	Namespace   string
	Name        string
	// User who asks, and the groups of that user.
	User   string
	Groups []string
	DryRun bool

	// Object as it would be stored; does not exist on delete. Old is the
	// stored state on update and delete. Changes made by Set are not seen
	// here, only by policies that follow.
	Object, Old Value

	denied   bool
	message  string
	warnings []string
	patch    []PatchOp
}

// PatchOp is one change that a policy made.
type PatchOp struct {
	Remove bool
	Path   string          // as [tape.ParsePath] reads it
	Value  json.RawMessage // nil when Remove
}

// Deny refuses the request. The first message is what the client sees,
// together with the policy's name. It returns nil, so that a policy can end
// with "return r.Deny(…)".
func (r *Review) Deny(format string, args ...any) error {
	if !r.denied {
		r.denied, r.message = true, fmt.Sprintf(format, args...)
	}
	return nil
}

// Warn sends a warning to the client; kubectl prints it.
func (r *Review) Warn(format string, args ...any) {
	r.warnings = append(r.warnings, fmt.Sprintf(format, args...))
}

// Set puts value at a path such as "spec.containers[0].imagePullPolicy" or
// "metadata.labels[app.kubernetes.io/name]". Missing maps on the way are
// made; an index one past the end of a list appends. Only Mutate may call it.
// A json.RawMessage is sent as it is, for what is encoded once and goes into
// many objects; the kernel refuses one that is not JSON.
//
// # Errors
//   - a malformed path, or a value that has no JSON form
func (r *Review) Set(path string, value any) error {
	if _, err := tape.ParsePath(path); err != nil {
		return err
	}
	raw, given := value.(json.RawMessage)
	if !given {
		var err error
		if raw, err = json.Marshal(value); err != nil {
			return fmt.Errorf("set %s: %w", path, err)
		}
	}
	r.patch = append(r.patch, PatchOp{Path: path, Value: raw})
	return nil
}

// Remove takes away what is at path; nothing happens when it is absent.
func (r *Review) Remove(path string) error {
	if _, err := tape.ParsePath(path); err != nil {
		return err
	}
	r.patch = append(r.patch, PatchOp{Remove: true, Path: path})
	return nil
}

// Verdict is the outcome of a review.
type Verdict struct {
	Denied   bool
	Message  string
	Warnings []string
	Patch    []PatchOp
}

// Verdict returns what the policy decided so far.
func (r *Review) Verdict() Verdict {
	return Verdict{Denied: r.denied, Message: r.message, Warnings: r.warnings, Patch: r.patch}
}
