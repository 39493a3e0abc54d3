package admission

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire/record"
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
	// "apps/*/*" is a whole group, "*" all resources. The version says for which
	// one the rule was written: it matches the object by whatever version it is
	// written, and is shown it in the version that is stored. A rule without a subresource does not match subresources,
	// except "*".
	Resources []string
	// Namespaces and their exceptions; cluster-scoped objects match only when
	// Namespaces is empty.
	Namespaces       []string
	ExceptNamespaces []string
	// Present are paths that must be set in the object (on delete: in the old
	// one), such as "spec.runtimeClassName": neither absent nor empty; a name
	// where there is a list asks for one element that has it, as in
	// "spec.volumes.persistentVolumeClaim". The kernel looks before it asks, so
	// that a policy about a rare field costs the other objects nothing.
	Present []string
	// Given are resources, as "v1/limitranges", of each of which there must be an
	// object: in the request's namespace, or anywhere when they or the request have
	// none. The kernel looks before it asks, so that a policy that objects
	// configure costs a cluster without such objects nothing. The Plugin must be
	// allowed to list them.
	Given []string
	// NamespaceLabels are keys of labels of which the request's namespace must have
	// one; a request for a Namespace is matched by the labels of that Namespace, as
	// it is and as it would be. Requests without a namespace do not match. The Plugin
	// must be allowed to get namespaces.
	NamespaceLabels []string
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
	Object, Old record.Value

	// Reader reads other objects, those that the Plugin's spec.permissions
	// lets it get. It is used during the call only.
	Reader client.Reader

	denied    bool
	forbidden bool
	message   string
	warnings  []string
	patch     []PatchOp
	await     []ObjectRef
	invalid   []Fault
	notes     []string
	charges   []Charge
}

// ObjectRef names an object; Resource is written as in [client.Object].
type ObjectRef struct{ Resource, Namespace, Name string }

// PatchOp is one change that a policy made.
type PatchOp struct {
	Remove bool
	Path   string          // as [record.ParsePath] reads it
	Value  json.RawMessage // nil when Remove
}

// What the kernel takes of a verdict; the requests that a policy is asked about are
// strangers', and what it says of them is cut rather than be its fault.
const (
	maxMessage  = 32 << 10 // bytes of a denial
	maxText     = 4 << 10  // bytes of a warning, an annotation, what is said of a field
	maxWarnings = 64
	maxNotes    = 64
	maxFaults   = 256
)

// cut shortens a text to a number of bytes and says so.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most-len("…")], "") + "…"
}

// Deny refuses the request. The first message is what the client sees,
// together with the policy's name. It returns nil, so that a policy can end
// with "return r.Deny(…)".
func (r *Review) Deny(format string, args ...any) error {
	if !r.denied {
		r.denied, r.message = true, cut(fmt.Sprintf(format, args...), maxMessage)
	}
	return nil
}

// Forbid refuses the request as the API itself would, "pods "a" is forbidden:
// …", without the policy's name: for rules that are part of the API's own
// behaviour, whose texts clients know. Of Deny and Forbid the first counts.
func (r *Review) Forbid(format string, args ...any) error {
	if !r.denied {
		r.forbidden = true
	}
	return r.Deny(format, args...)
}

// Fault is a field with a value that it may not have.
type Fault struct{ Field, Value, Detail string }

// Invalid refuses the request as the API's own validation would, 422 with the
// field: "Invalid value: "x": must be …". It may be called for several fields. Of
// Deny, Forbid and Invalid the first counts.
func (r *Review) Invalid(field, value, format string, args ...any) error {
	if (!r.denied || len(r.invalid) > 0) && len(r.invalid) < maxFaults {
		r.denied = true
		r.invalid = append(r.invalid, Fault{Field: cut(field, maxText), Value: cut(value, maxText), Detail: cut(fmt.Sprintf(format, args...), maxText)})
	}
	return nil
}

// Annotate adds to what the audit log says of the request. A key has the form of a
// label's, "example.com/reason"; without a prefix it gets the plugin's.
func (r *Review) Annotate(key, value string) {
	if len(r.notes) < 2*maxNotes {
		r.notes = append(r.notes, key, cut(value, maxText))
	}
}

// Await makes the verdict provisional: if the object, which the policy has not
// found, appears within about two seconds, the kernel asks again; else the
// verdict stands. It is for what a controller is about to make, such as the
// ServiceAccount of a new namespace.
func (r *Review) Await(obj client.Object, namespace, name string) {
	r.await = append(r.await, ObjectRef{obj.APIResource(), namespace, name})
}

// Warn sends a warning to the client; kubectl prints it.
func (r *Review) Warn(format string, args ...any) {
	switch n := len(r.warnings); {
	case n < maxWarnings-1:
		r.warnings = append(r.warnings, cut(fmt.Sprintf(format, args...), maxText))
	case n < maxWarnings:
		r.warnings = append(r.warnings, "there are more warnings, which are left out")
	}
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
	if err := record.CheckPath(path); err != nil {
		return err
	}
	raw, err := jsonOf(value)
	if err != nil {
		return fmt.Errorf("set %s: %w", path, err)
	}
	r.patch = append(r.patch, PatchOp{Path: path, Value: raw})
	return nil
}

// jsonOf is json.Marshal, without reflection for what most policies set: in a
// guest that costs more than the rest of the policy.
func jsonOf(value any) (json.RawMessage, error) {
	switch v := value.(type) {
	case json.RawMessage:
		return v, nil
	case string:
		return record.AppendQuoted(make([]byte, 0, len(v)+2), v), nil
	}
	return json.Marshal(value)
}

// Remove takes away what is at path; nothing happens when it is absent.
func (r *Review) Remove(path string) error {
	if _, err := record.ParsePath(path); err != nil {
		return err
	}
	r.patch = append(r.patch, PatchOp{Remove: true, Path: path})
	return nil
}

// Verdict is the outcome of a review.
type Verdict struct {
	Denied    bool
	Forbidden bool // denied by [Review.Forbid]
	Message   string
	Warnings  []string
	Patch     []PatchOp
	Await     []ObjectRef
	Invalid   []Fault // denied by [Review.Invalid]
	// Annotations are those of [Review.Annotate], keys and values by turns.
	Annotations []string
	Charges     []Charge
}

// Verdict returns what the policy decided so far.
func (r *Review) Verdict() Verdict {
	return Verdict{Denied: r.denied, Forbidden: r.forbidden, Message: r.message, Warnings: r.warnings, Patch: r.patch, Await: r.await,
		Invalid: r.invalid, Annotations: r.notes, Charges: r.charges}
}

// Undeclared is an error when the rule has read a field that [Points.Fields] does
// not declare: it was shown nothing there, whatever the object has.
func (r *Review) Undeclared() error {
	for _, v := range []record.Value{r.Object, r.Old} {
		if name := v.Undeclared(); name != "" {
			return fmt.Errorf("the rule reads %q, which its Fields do not declare", name)
		}
	}
	return nil
}

// AppendQuoted appends s as a JSON string, for the json.RawMessage of a
// [Review.Set], without what reflection costs.
func AppendQuoted(b []byte, s string) []byte { return record.AppendQuoted(b, s) }
