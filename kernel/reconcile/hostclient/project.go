package hostclient

import (
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// projections are what an instance has declared; see RATIONALE.md, "Why are
// guests sent the fields that they declare?" A guest has one declaration
// for each type that it reads.
type projections struct {
	known map[string]*record.Plan
	buf   []byte
}

// maxProjections bounds what is remembered of a guest that keeps inventing new
// ones.
const maxProjections = 64

// of compiles a declaration.
func (x *projections) of(text string) (*record.Plan, error) {
	if p := x.known[text]; p != nil {
		return p, nil
	}
	p, err := projection.Of(text)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if x.known == nil || len(x.known) >= maxProjections {
		x.known = map[string]*record.Plan{}
	}
	x.known[text] = p
	return p, nil
}

// recordType names the record of all of an object among its encodings, which
// everybody shares.
const recordType = "application/vnd.pintle.record"

// projected is an object's record for a plugin. It is valid until the next
// call.
func (k *Client) projected(o *watch.Object, t registry.Target, p *record.Plan) ([]byte, error) {
	gv := t.Resource.GroupVersion()
	write := func(b []byte, obj runtime.Object) ([]byte, error) {
		v, err := k.c.Codec.Versioned(obj, gv)
		if err != nil {
			return nil, err
		}
		return p.Append(b, v)
	}
	if p.Fields() == nil {
		return o.Encoding(gv.String(), recordType, func(obj runtime.Object) ([]byte, error) { return write(nil, obj) })
	}
	b, err := write(k.only.buf[:0], o.Obj)
	if err == nil {
		k.only.buf = b
	}
	return b, err
}
