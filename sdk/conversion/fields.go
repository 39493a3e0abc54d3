package conversion

import (
	"encoding/json"
	"fmt"
)

// Fields are the fields of an object of JSON, each as it was written until somebody asks
// for it. What a conversion does not know is neither decoded nor lost.
//
// Fields are a map: they are changed where they are, and not safe for concurrent use.
type Fields map[string]json.RawMessage

// ReadFields takes an object apart. raw must not change afterwards.
func ReadFields(raw []byte) (Fields, error) {
	var f Fields
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	return f, nil
}

// Fields takes the object in a field apart. They are a copy: [Fields.Set] puts them back.
// It is nil when there is no such field, or null in it.
func (f Fields) Fields(name string) (Fields, error) {
	raw, ok := f[name]
	if !ok {
		return nil, nil
	}
	inner, err := ReadFields(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return inner, nil
}

// Text is the text in a field, "" when there is none, or null in it. Its error names the
// field.
func (f Fields) Text(name string) (string, error) {
	var text string
	if raw, ok := f[name]; ok {
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
	}
	return text, nil
}

// Set puts a value, as encoding/json writes it, into a field.
func (f Fields) Set(name string, value any) error {
	raw, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	f[name] = raw
	return nil
}
