package admit

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/tape"
)

// review encodes a request for a policy.
func review(a *admission.Attributes, op wire.Op) ([]byte, error) {
	object, old, err := tapes(a, op)
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
// nothing changes any more, so that a tape made for one serves all.
type shared struct {
	object, old         runtime.Object // what the tapes were made of
	objectTape, oldTape []byte
}

func tapes(a *admission.Attributes, op wire.Op) (object, old []byte, err error) {
	s, _ := a.Scratch.(*shared)
	if s == nil {
		s = &shared{}
		a.Scratch = s
	}
	if a.Old != nil && s.old != a.Old {
		if s.oldTape, err = tape.Build(a.Old); err != nil {
			return nil, nil, err
		}
		s.old = a.Old
	}
	if a.Object == nil {
		return nil, s.oldTape, nil
	}
	if op == wire.OpMutate {
		// Mutators may change the object in place: never keep its tape.
		object, err = tape.Build(a.Object)
		return object, s.oldTape, err
	}
	if s.object != a.Object {
		if s.objectTape, err = tape.Build(a.Object); err != nil {
			return nil, nil, err
		}
		s.object = a.Object
	}
	return s.objectTape, s.oldTape, nil
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
