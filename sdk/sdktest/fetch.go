package sdktest

import (
	"encoding/json"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Errors that [Store.Served] may answer with, as the API does.
var (
	ErrUnsupported = wire.ErrUnsupported // nobody serves the group version
	ErrUnavailable = wire.ErrUnavailable // who serves it does not answer
	ErrNotFound    = wire.ErrNotFound
)

// fetch asks Served.
func (s *Store) fetch(q wire.FetchRequest) ([]byte, error) {
	if err := s.may(q.Resource); err != nil {
		return nil, err
	}
	if s.Served == nil {
		return nil, wire.Errorf(wire.KindUnsupported, "the server could not find the requested resource")
	}
	f := client.FetchOptions{Resource: q.Resource, Namespace: q.Namespace, Name: q.Name, Subresource: q.Subresource}
	for _, p := range q.Params {
		if p[0] == "labelSelector" {
			f.Labels = p[1]
			continue
		}
		if f.Params == nil {
			f.Params = map[string]string{}
		}
		f.Params[p[0]] = p[1]
	}
	v, err := s.Served(f)
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
