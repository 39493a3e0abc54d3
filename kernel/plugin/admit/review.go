package admit

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// review encodes a request for a policy, which is shown what plan writes.
func review(a *admission.Attributes, op wire.Op, plan *record.Plan) ([]byte, error) {
	object, old, err := written(a, op, plan)
	if err != nil {
		return nil, fmt.Errorf("review of %s: %w", a.Kind, err)
	}
	h := wire.ReviewHeader{Operation: string(a.Operation), Resource: resourceName(a.Resource), Subresource: a.Subresource,
		Kind: kindName(a.Kind), Namespace: a.Namespace, Name: a.Name, DryRun: a.DryRun}
	if a.User != nil {
		h.User, h.Groups = a.User.GetName(), a.User.GetGroups()
	}
	b := make([]byte, 0, 512+len(object)+len(old))
	return wire.AppendReview(b, h, object, old), nil
}

// shared is what the policies of one request share: in the validating phase
// nothing changes any more, so that a record made for one serves all that declare
// the same fields.
type shared struct {
	object, old runtime.Object // what the records were made of
	objects     records
	olds        records
}

// records are those of one object, by declaration.
type records []struct {
	fields string
	bytes  []byte
}

func (r *records) of(obj runtime.Object, plan *record.Plan) ([]byte, error) {
	fields := plan.Fields().String()
	for _, x := range *r {
		if x.fields == fields {
			return x.bytes, nil
		}
	}
	b, err := plan.Append(nil, obj)
	if err == nil {
		*r = append(*r, struct {
			fields string
			bytes  []byte
		}{fields, b})
	}
	return b, err
}

func written(a *admission.Attributes, op wire.Op, plan *record.Plan) (object, old []byte, err error) {
	s, _ := a.Scratch.(*shared)
	if s == nil {
		s = &shared{}
		a.Scratch = s
	}
	if s.old != a.Old {
		s.old, s.olds = a.Old, nil
	}
	if a.Old != nil {
		if old, err = s.olds.of(a.Old, plan); err != nil {
			return nil, nil, err
		}
	}
	if a.Object == nil {
		return nil, old, nil
	}
	if op == wire.OpMutate {
		// Mutators may change the object in place: never keep its record.
		object, err = plan.Append(nil, a.Object)
		return object, old, err
	}
	if s.object != a.Object {
		s.object, s.objects = a.Object, nil
	}
	object, err = s.objects.of(a.Object, plan)
	return object, old, err
}

func resourceName(r schema.GroupVersionResource) string {
	if r.Group == "" {
		return r.Version + "/" + r.Resource
	}
	return r.Group + "/" + r.Version + "/" + r.Resource
}

func kindName(k schema.GroupVersionKind) string {
	if k.Group == "" {
		return k.Version + "/" + k.Kind
	}
	return k.Group + "/" + k.Version + "/" + k.Kind
}
