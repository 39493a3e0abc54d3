package admission

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
	"github.com/pintle-io/pintle/sdk/wire/remote"
)

// Points are the extension points of admission that an instance serves. A nil
// field is not served and costs nothing.
type Points struct {
	// Mutate may change an object with [Review.Set] and [Review.Remove] before
	// it is validated and stored.
	Mutate func(*Review) error
	// Validate may refuse an object with [Review.Deny]. An error returned is a
	// fault of the plugin, answered by its failure policy.
	Validate func(*Review) error
	// Match selects the requests that Mutate and Validate see. Empty: every
	// create and update of every resource. A Plugin resource may narrow it
	// further, never widen it.
	Match []MatchRule
	// Fields are the paths of what the rules read of the objects, such as
	// "metadata.labels" or "spec.containers.image", through lists as if they were
	// not there. The kernel then sends nothing else, which is several times
	// cheaper. Reading something else is a fault of the plugin. Empty: all of the
	// object.
	Fields []string
	// Implements are the resources whose objects the rules carry out, as
	// "v1/limitranges": whoever creates one is not told that nobody does.
	Implements []string

	// Close, when set, is called before the instance is discarded in order.
	// It is not called after a fault.
	Close func()
}

// Open is called by the hosts.
func (p *Points) Open(h instance.Host) instance.Instance {
	fields, err := record.FieldsOfPaths(p.Fields...)
	if err != nil {
		panic(fmt.Sprintf("admission.Points.Fields of %s: %v", h.Plugin, err))
	}
	return &opened{plugin: h.Plugin, points: p, fields: fields, reader: remote.NewReader(h.Call)}
}

// opened is the points as the dispatcher of a guest sees them.
type opened struct {
	plugin string
	points *Points
	fields *record.Fields
	reader client.Reader
}

func (o *opened) Describe(m *wire.Manifest) {
	m.Fields = o.fields.String()
	m.Implements = append(m.Implements, o.points.Implements...)
	if o.points.Mutate != nil {
		m.Points |= wire.PointMutate
	}
	if o.points.Validate != nil {
		m.Points |= wire.PointValidate
	}
	for _, rule := range o.points.Match {
		w := wire.Match{Resources: rule.Resources, Namespaces: rule.Namespaces, ExceptNamespaces: rule.ExceptNamespaces, Present: rule.Present,
			Given: rule.Given, NamespaceLabels: rule.NamespaceLabels}
		for _, op := range rule.Operations {
			w.Operations = append(w.Operations, string(op))
		}
		m.Match = append(m.Match, w)
	}
}

func (o *opened) Serves(op wire.Op) bool { return o.rule(op) != nil }

func (o *opened) rule(op wire.Op) func(*Review) error {
	switch op {
	case wire.OpMutate:
		return o.points.Mutate
	case wire.OpValidate:
		return o.points.Validate
	}
	return nil
}

func (o *opened) Serve(out []byte, op wire.Op, req, _ []byte) ([]byte, error) {
	r := wire.NewReader(req)
	h, object, old := r.Review()
	if err := r.Err(); err != nil {
		return out, err
	}
	review := Review{Operation: Operation(h.Operation), Resource: h.Resource, Subresource: h.Subresource, Kind: h.Kind,
		Namespace: h.Namespace, Name: h.Name, User: h.User, Groups: h.Groups, DryRun: h.DryRun, Reader: o.reader}
	var err error
	if review.Object, err = record.Parse(object, o.fields); err == nil {
		review.Old, err = record.Parse(old, o.fields)
	}
	if err != nil {
		return out, wire.Errorf(wire.KindProtocol, "%v", err)
	}
	if err := o.rule(op)(&review); err != nil {
		return out, err
	}
	if err := review.Undeclared(); err != nil {
		return out, err
	}
	return appendVerdict(out, review.Verdict()), nil
}

func appendVerdict(out []byte, v Verdict) []byte {
	f := wire.Findings{Annotations: v.Annotations}
	for _, x := range v.Invalid {
		f.Invalid = append(f.Invalid, wire.Fault(x))
	}
	for i := range v.Charges {
		f.Charges = append(f.Charges, v.Charges[i].frame())
	}
	return f.Append(frame(v).Append(out))
}

func frame(v Verdict) wire.Verdict {
	w := wire.Verdict{Denied: v.Denied, Message: v.Message, Warnings: v.Warnings, Forbidden: v.Forbidden}
	for _, p := range v.Patch {
		w.Patch = append(w.Patch, wire.PatchOp{Remove: p.Remove, Path: p.Path, Value: p.Value})
	}
	for _, o := range v.Await {
		w.Await = append(w.Await, wire.GetRequest{Resource: o.Resource, Namespace: o.Namespace, Name: o.Name})
	}
	return w
}

func (o *opened) Close() {
	if o.points.Close != nil {
		o.points.Close()
	}
}
