package packed_test

import (
	"encoding/json"
	"reflect"
	"testing"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/intstr"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/wire/packed"
)

type tree struct {
	Name string  `json:"name"`
	Kids []*tree `json:"kids"`
}

func TestFields(t *testing.T) {
	for name, c := range map[string]struct {
		of   any
		want string
	}{
		"fields, lists and maps": {struct {
			Metadata struct {
				Name   string            `json:"name"`
				Labels map[string]string `json:"labels,omitempty"`
			} `json:"metadata"`
			Spec *struct {
				Containers []struct {
					Image string `json:"image"`
				} `json:"containers"`
			} `json:"spec"`
		}{}, "metadata(name,labels),spec(containers(image))"},
		"embedded and left out": {struct {
			metav1.TypeMeta `json:""`
			Skip            string `json:"-"`
			hidden          string
			At              metav1.Time `json:"at"`
		}{}, "kind,apiVersion,at"},
		"decodes itself": {struct { // its fields are not its JSON's
			Port intstr.IntOrString `json:"port"`
			Raw  json.RawMessage    `json:"raw"`
		}{}, "port,raw"},
		"no tag":             {struct{ Name string }{}, ""},
		"within itself":      {tree{}, ""},
		"most of the object": {corev1.Pod{}, ""},
		"not a struct":       {map[string]any{}, ""},
		"nothing in a field": {struct {
			X struct{} `json:"x"`
		}{}, "x"},
		"nothing": {struct{}{}, ""},
	} {
		for range 2 { // the second time from memory
			if got := packed.Fields(reflect.TypeOf(c.of)); got != c.want {
				t.Errorf("%s: got %q, want %q", name, got, c.want)
			}
		}
	}
}
