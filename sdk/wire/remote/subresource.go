package remote

import (
	"encoding/json"
	"fmt"
	"reflect"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// onlyName is what is asked for of an answer at which nobody looks; no fields would be all.
var onlyName = record.FieldsOf(reflect.TypeFor[struct {
	Kind string `json:"kind"`
}]()).String()

func (c *caller) CreateSubresource(resource, subresource string, body metav1.Accessor, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("create %s/%s: %w", resource, subresource, err)
	}
	only, to := onlyName, reflect.ValueOf(answer)
	if answer != nil {
		if to.Kind() != reflect.Pointer || to.IsNil() {
			return fmt.Errorf("create %s/%s: the answer goes into a pointer, not %T", resource, subresource, answer)
		}
		only = record.FieldsOf(to.Type().Elem()).String()
	}
	resp, err := c.do(wire.HostWrite, wire.WriteRequest{Verb: "create", Resource: resource, Subresource: subresource, Object: text, Only: only}.Append)
	if err != nil || answer == nil || len(resp) == 0 {
		return err
	}
	to.Elem().SetZero()
	if err := record.Decode(resp, answer); err != nil {
		return fmt.Errorf("decode what %s/%s answers: %w", resource, subresource, err)
	}
	return nil
}
