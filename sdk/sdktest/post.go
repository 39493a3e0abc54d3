package sdktest

import (
	"encoding/json"

	"github.com/pintle-io/pintle/sdk/wire"
)

// post asks Posted about an object that there is.
func (s *Store) post(q wire.WriteRequest, object map[string]any, name string) ([]byte, error) {
	switch {
	case s.Posted == nil:
		return nil, wire.Errorf(wire.KindUnsupported, "%s have no subresource %q to create", q.Resource, q.Subresource)
	case object == nil:
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", q.Resource, name)
	}
	if err := s.may(q.Resource + "/" + q.Subresource); err != nil {
		return nil, err
	}
	v, err := s.Posted(q.Resource, q.Subresource, q.Object)
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	var o map[string]any
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	return encode(o, q.Only)
}
