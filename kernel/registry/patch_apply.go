package registry

import (
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/kernel/resource"
)

// apply merges the apply configuration into live, which is not modified, and
// gives the result in the hub version with its managedFields.
func (p *patcher) apply(live runtime.Object) (runtime.Object, error) {
	config := &unstructured.Unstructured{Object: map[string]any{}}
	// JSON is YAML, and read as JSON takes a fraction of the memory.
	unmarshal := json.Unmarshal
	if !json.Valid(p.bytes) {
		unmarshal = func(b []byte, into any) error { return yaml.Unmarshal(b, into) }
	}
	if err := unmarshal(p.bytes, &config.Object); err != nil {
		return nil, badRequestf("error decoding patch: %v", err)
	}
	if config.Object == nil {
		config.Object = map[string]any{}
	}
	if err := p.checkQuantities(config.Object, p.applied()); err != nil {
		return nil, err
	}
	out, err := p.r.k.fields.Apply(p.r.write(), live, config, p.r.o.Force)
	if err != nil {
		if isStatus(err) {
			return nil, err // a conflict with other managers, or a bad request
		}
		return nil, plain(err)
	}
	if err := p.strictYAML(); err != nil {
		return nil, err
	}
	return out, nil
}

// applied is the kind of an apply configuration.
func (p *patcher) applied() schema.GroupVersionKind {
	if p.r.sub != nil && !p.r.sub.Kind.Empty() {
		return p.r.sub.Kind
	}
	return p.c.kindIn(p.r.k, p.r.t)
}

// strictYAML finds duplicate keys; unknown fields were found by the schema.
func (p *patcher) strictYAML() error {
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
	case p.strict == metav1.FieldValidationStrict:
		return badRequestf("error strict decoding patch: %v", err)
	}
	for _, text := range resource.StrictWarnings([]error{err}) {
		p.r.warn(text)
	}
	return nil
}
