// Package conversion is the point of plugins that bring custom objects to another
// version of their kind. A CustomResourceDefinition names its plugin in the annotation
// pintle.dev/conversion-plugin, with the conversion strategy None.
//
// What a webhook may not change, a plugin may not either: kind, name, namespace, uid,
// and of the metadata all but labels and annotations.
package conversion

import (
	"fmt"

	"github.com/pintle-io/pintle/sdk/internal/instance"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Points are the conversion point of a plugin.
type Points struct {
	// Convert returns an object in another version. Between any two versions of a kind
	// there must be a way, and back to where it came from nothing may be lost. It is
	// a pure function of its argument: the kernel keeps no answer, asks again as
	// often as it likes, and serves no questions. An error, which should name the field,
	// fails the whole request of a client.
	Convert func(Request) ([]byte, error)

	// Close, when set, is called before the instance is discarded in order. It is not
	// called after a fault.
	Close func()
}

// Request is one object to convert.
type Request struct {
	// Object is the object as JSON, whole but for metadata.managedFields, which no converter
	// can change. It must not be changed or kept.
	Object []byte
	// To is the apiVersion that the answer must have: "shop.example/v2".
	To string
}

// Open is called by the hosts.
func (p *Points) Open(instance.Host) instance.Instance { return opened{p} }

type opened struct{ points *Points }

func (o opened) Describe(m *wire.Manifest) {
	if o.points.Convert != nil {
		m.Points |= wire.PointConvert
	}
}

func (o opened) Serves(op wire.Op) bool { return op == wire.OpConvert && o.points.Convert != nil }

func (o opened) Serve(out []byte, _ wire.Op, req, _ []byte) ([]byte, error) {
	r := wire.NewReader(req)
	q := wire.ReadConversion(r)
	if err := r.Err(); err != nil {
		return out, err
	}
	objects := make([][]byte, len(q.Objects))
	for i, in := range q.Objects {
		var err error
		if objects[i], err = o.points.Convert(Request{Object: in, To: q.To}); err != nil {
			return out, fmt.Errorf("object %d of %d: %w", i+1, len(q.Objects), err)
		}
	}
	return wire.AppendObjects(out, objects), nil
}

func (o opened) Close() {
	if o.points.Close != nil {
		o.points.Close()
	}
}
