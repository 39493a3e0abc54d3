package patch

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/registry/status"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Configuration reads an apply configuration, which is for a kind. It is the
// caller's.
//
// # Errors
//   - Status: it cannot be read, or holds an absurd quantity
func (p *Patch) Configuration(kind schema.GroupVersionKind) (*unstructured.Unstructured, error) {
	config := &unstructured.Unstructured{Object: map[string]any{}}
	// JSON is YAML, and read as JSON takes a fraction of the memory. Either reader keeps
	// whole numbers, which json.Unmarshal makes floats: a custom object has what was read.
	unmarshal := utiljson.Unmarshal
	if !json.Valid(p.bytes) {
		unmarshal = utilyaml.Unmarshal
	}
	if err := unmarshal(p.bytes, &config.Object); err != nil {
		return nil, status.BadRequestf("error decoding patch: %v", err)
	}
	if config.Object == nil {
		config.Object = map[string]any{}
	}
	return config, p.checkQuantities(config.Object, kind)
}

// CheckKeys finds duplicate keys in an apply configuration, as field validation
// asks; unknown fields are found by the schema when it is merged.
func (p *Patch) CheckKeys() error {
	if !p.validating() {
		return nil
	}
	if json.Valid(p.bytes) {
		faults, err := kjson.UnmarshalStrict(p.bytes, &map[string]any{}, kjson.DisallowDuplicateFields)
		if err == nil && len(faults) == 0 {
			return nil
		}
	}
	err := yaml.UnmarshalStrict(p.bytes, &map[string]any{})
	switch {
	case err == nil:
		return nil
	case p.field == metav1.FieldValidationStrict:
		return status.BadRequestf("error strict decoding patch: %v", err)
	}
	for _, text := range resource.StrictWarnings([]error{err}) {
		p.warn(text)
	}
	return nil
}
