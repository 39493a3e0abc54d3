package remote

import (
	"encoding/json"
	"fmt"
	"reflect"

	autoscalingv1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

const scale = "scale"

// scaleFields declares what a Scale is decoded from.
var scaleFields = record.FieldsOf(reflect.TypeFor[autoscalingv1.Scale]()).String()

func (c *caller) GetScale(resource, namespace, name string) (*autoscalingv1.Scale, error) {
	resp, err := c.do(wire.HostSubresource, wire.SubresourceRequest{Resource: resource, Namespace: namespace, Name: name, Subresource: scale, Only: scaleFields}.Append)
	if err != nil {
		return nil, err
	}
	return decodeScale(resource, resp)
}

func (c *caller) UpdateScale(resource string, s *autoscalingv1.Scale) error {
	body, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("scale of %s: %w", resource, err)
	}
	resp, err := c.do(wire.HostWrite, wire.WriteRequest{Verb: "update", Resource: resource, Subresource: scale, Object: body, Only: scaleFields}.Append)
	if err != nil {
		return err
	}
	stored, err := decodeScale(resource, resp)
	if err == nil {
		*s = *stored
	}
	return err
}

func decodeScale(resource string, body []byte) (*autoscalingv1.Scale, error) {
	s := &autoscalingv1.Scale{}
	if err := record.Decode(body, s); err != nil {
		return nil, fmt.Errorf("decode the scale of %s: %w", resource, err)
	}
	return s, nil
}
