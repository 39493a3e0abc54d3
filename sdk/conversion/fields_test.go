package conversion_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/sdk/conversion"
)

// TestFields: what nobody asks for stays as it was written, numbers of any length among it.
func TestFields(t *testing.T) {
	object, err := conversion.ReadFields([]byte(`{"kind":"A","spec":{"at":"b:1","big":12345678901234567890,"deep":{"x":[1.0, null]}},"none":null}`))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := object.Fields("spec")
	if err != nil {
		t.Fatal(err)
	}
	if at, err := spec.Text("at"); at != "b:1" || err != nil {
		t.Errorf("at is %q, %v", at, err)
	}
	delete(spec, "at")
	if err := spec.Set("host", "b"); err != nil {
		t.Fatal(err)
	}
	if err := object.Set("spec", spec); err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(object)
	if want := `{"kind":"A","none":null,"spec":{"big":12345678901234567890,"deep":{"x":[1.0,null]},"host":"b"}}`; string(got) != want || err != nil {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, name := range []string{"none", "absent"} {
		if f, err := object.Fields(name); f != nil || err != nil {
			t.Errorf("fields of %s: %v, %v", name, f, err)
		}
		if text, err := object.Text(name); text != "" || err != nil {
			t.Errorf("text of %s: %q, %v", name, text, err)
		}
	}
}

// TestFieldsErrors: who reads a field as what it is not is told which one.
func TestFieldsErrors(t *testing.T) {
	object := conversion.Fields{"n": []byte(`1`), "broken": []byte(`{`)}
	_, asFields := object.Fields("n")
	_, asText := object.Text("n")
	_, broken := object.Fields("broken")
	unwritable := object.Set("f", func() {})
	for name, err := range map[string]error{"n: ": asFields, "n:": asText, "broken: ": broken, "f: ": unwritable} {
		if err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("error %v, want one that begins with %q", err, name)
		}
	}
	if _, err := conversion.ReadFields([]byte(`[]`)); err == nil {
		t.Error("a list was read as an object")
	}
}
