package openapi

import (
	"encoding/json"
	"strings"
	"testing"

	"k8s.io/kube-openapi/pkg/validation/spec"
)

// FuzzExtension: whatever an extension server says, joining it does not panic, and what
// comes of it is JSON about its own paths.
func FuzzExtension(f *testing.F) {
	for _, doc := range []string{
		`{"swagger":"2.0","paths":{"/apis/a/v1/x":{"get":{"responses":{"200":{"description":"OK","schema":{"$ref":"#/definitions/X"}}}}},"/apis/b/v1/x":{}},"definitions":{"X":{"properties":{"y":{"$ref":"#/definitions/X"}}}}}`,
		`{"swagger":"2.0","paths":{"/apis/a/v1/x":{"get":{"responses":{"200":{"schema":{"$ref":"#/definitions/Gone"}}}}}}}`,
		`{"swagger":"2.0","paths":{"/apis/a/v1/x":{"get":{"parameters":[{"$ref":"#/parameters/p"}]}}},"parameters":{"p":{"name":"p","in":"query"}},"definitions":{"X":{"type":"object"}}}`,
		`{"paths":{"/apis/a/v1/x":null},"definitions":{"X":null}}`, `{"paths":{"/apis/a/v1/x":{"$ref":"#/paths/x"}}}`, `{}`, `[]`, `null`, ``,
	} {
		f.Add([]byte(doc))
	}
	first := &v2Part{"", func() (*fragment, error) {
		s := &spec.Swagger{}
		if err := s.UnmarshalJSON([]byte(`{"swagger":"2.0","info":{"title":"k"},"paths":{},"definitions":{"X":{"type":"string"}}}`)); err != nil {
			return nil, err
		}
		return newFragment(s, nil)
	}}
	f.Fuzz(func(t *testing.T, doc []byte) {
		if _, err := extension([]*v2Part{first}, Extension{Path: "/apis/a/v1", JSON: doc}); err != nil {
			return
		}
		list := []*v2Part{first, {"", func() (*fragment, error) {
			return extension([]*v2Part{first}, Extension{Path: "/apis/a/v1", JSON: doc})
		}}}
		d, err := joined(list)
		if err != nil {
			t.Fatal(err)
		}
		plain, err := decompress(d.json)
		if err != nil {
			t.Fatal(err)
		}
		var all struct {
			Paths       map[string]any            `json:"paths"`
			Definitions map[string]map[string]any `json:"definitions"`
		}
		if err := json.Unmarshal(plain, &all); err != nil {
			t.Fatalf("%v: %s", err, plain)
		}
		for path := range all.Paths {
			if !strings.HasPrefix(path, "/apis/a/v1/") {
				t.Errorf("the path %s is not its own", path)
			}
		}
		if all.Definitions["X"]["type"] != "string" {
			t.Errorf("a model of the server's was replaced: %v", all.Definitions)
		}
	})
}
