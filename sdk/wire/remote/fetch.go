package remote

import (
	"fmt"
	"maps"
	"reflect"
	"slices"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

func (c *caller) Fetch(into any, f client.FetchOptions) error {
	v := reflect.ValueOf(into)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("fetch %s into %T: a pointer to a struct is needed", f.Resource, into)
	}
	q := wire.FetchRequest{Resource: f.Resource, Namespace: f.Namespace, Name: f.Name, Subresource: f.Subresource, Only: record.FieldsOf(v.Elem().Type()).String()}
	if f.Labels != "" {
		q.Params = append(q.Params, [2]string{"labelSelector", f.Labels})
	}
	for _, k := range slices.Sorted(maps.Keys(f.Params)) {
		q.Params = append(q.Params, [2]string{k, f.Params[k]})
	}
	resp, err := c.do(wire.HostFetch, q.Append)
	if err != nil {
		return err
	}
	v.Elem().SetZero()
	if err := record.Decode(resp, into); err != nil {
		return fmt.Errorf("decode %s: %w", f.Resource, err)
	}
	return nil
}

func (c *caller) ResourceOf(apiVersion, kind string) (string, error) {
	resp, err := c.do(wire.HostResource, func(b []byte) []byte { return wire.AppendString(b, client.ByKind(apiVersion, kind)) })
	if err != nil {
		return "", err
	}
	r := wire.NewReader(resp)
	resource := r.Str()
	return resource, r.Err()
}
