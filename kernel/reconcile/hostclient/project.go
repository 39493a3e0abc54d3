package hostclient

import (
	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// projections are those that an instance has asked for. A guest has one per
// type that it reads.
type projections struct {
	known map[string]*projection.Projection
	buf   []byte
}

// maxProjections bounds what is remembered of a guest that keeps inventing new
// ones.
const maxProjections = 64

// of parses a projection; nil, without an error, is the whole object.
func (x *projections) of(text string) (*projection.Projection, error) {
	if text == "" {
		return nil, nil
	}
	if p := x.known[text]; p != nil {
		return p, nil
	}
	p, err := projection.Parse(text)
	if err != nil {
		return nil, wire.Errorf(wire.KindBadRequest, "%v", err)
	}
	if x.known == nil || len(x.known) >= maxProjections {
		x.known = map[string]*projection.Projection{}
	}
	x.known[text] = p
	return p, nil
}

// projected is an object's JSON for a plugin: the wanted fields of it, or with
// no projection all of it. It is valid until the next call.
func (k *Client) projected(o *watch.Object, t registry.Target, p *projection.Projection) ([]byte, error) {
	gv := t.Resource.GroupVersion()
	if p == nil || o.Obj.GetObjectKind().GroupVersionKind().GroupVersion() != gv {
		// Its kind is filled in by encoding only.
		return k.encode(o, gv)
	}
	obj, err := k.c.Codec.Convert(o.Obj, gv)
	if err != nil {
		return nil, err
	}
	k.only.buf, err = p.Append(k.only.buf[:0], plain(obj))
	return k.only.buf, err
}
