package openapi_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	openapi2 "github.com/google/gnostic-models/openapiv2"
	"google.golang.org/protobuf/proto"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
	"github.com/pintle-io/pintle/kernel/apiserver/openapi"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/plugins/kinds"
)

const (
	mediaJSON    = "application/json"
	mediaProtoV2 = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
)

// anything is the types of a producer's kinds; nothing here makes objects.
type anything struct{ resource.Types }

func (anything) Recognizes(schema.GroupVersionKind) bool             { return true }
func (anything) New(schema.GroupVersionKind) (runtime.Object, error) { return nil, nil }

// unwritable is the field of a schema of which no JSON can be made.
const unwritable = "unwritable"

// shop is what documents are made of.
type shop struct {
	t       *testing.T
	catalog *resource.Catalog
	asked   int // how often a schema was
	log     bytes.Buffer
}

func newShop(t *testing.T) *shop {
	t.Helper()
	table, err := kinds.Table(kinds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return &shop{t: t, catalog: resource.NewCatalog(table)}
}

// put defines kinds, each in a group of its own, whose schema has a field.
func (s *shop) put(id, field string, names ...string) {
	s.t.Helper()
	for _, name := range names {
		d := &resource.Definition{
			Group: name + ".example", Resource: name + "s", Singular: name, Kind: strings.ToUpper(name), ListKind: strings.ToUpper(name) + "List", Namespaced: true,
			Versions: []string{"v1"}, StorageVersion: "v1", KeyPrefix: "/registry/" + name, JSONStored: true,
			Verbs: []string{"create", "get", "list"}, Types: anything{}, SchemaID: id,
			Schema: func(string, bool) *spec.Schema {
				s.asked++
				out := &spec.Schema{SchemaProps: spec.SchemaProps{Type: []string{"object"}, Properties: map[string]spec.Schema{field: *spec.StringProperty()}}}
				if field == unwritable {
					out.Default = func() {}
				}
				return out
			},
		}
		if err := s.catalog.Producer("shop").Apply([]*resource.Definition{d}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *shop) documents() *openapi.Documents {
	return openapi.New(endpoint.NewCatalog(s.catalog), "v1.2.3", slog.New(slog.NewTextHandler(&s.log, nil)))
}

func get(serve http.HandlerFunc, path, accept, known string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Header.Set("Accept", accept)
	if known != "" {
		r.Header.Set("If-None-Match", known)
	}
	w := httptest.NewRecorder()
	serve(w, r)
	return w
}

// index maps the paths of the index to where their documents are.
func index(t *testing.T, d *openapi.Documents) map[string]string {
	t.Helper()
	var body struct {
		Paths map[string]struct {
			URL string `json:"serverRelativeURL"`
		}
	}
	w := get(d.ServeIndex, "/openapi/v3", mediaJSON, "")
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	if again := get(d.ServeIndex, "/openapi/v3", mediaJSON, w.Header().Get("Etag")); again.Code != http.StatusNotModified {
		t.Errorf("the index that the client has: %d", again.Code)
	}
	out := map[string]string{}
	for p, e := range body.Paths {
		out[p] = e.URL
	}
	return out
}

// TestIndexBuildsNothing: documents are named by what they are made of, on every
// server alike, and made when they are asked for.
func TestIndexBuildsNothing(t *testing.T) {
	s := newShop(t)
	s.put("1", "size", "cup", "jar")
	d, other := s.documents(), s.documents()
	before := index(t, d)
	if s.asked != 0 {
		t.Errorf("the index asked for %d schemas", s.asked)
	}
	if _, ok := before["api/v1"]; !ok || len(before) < 20 {
		t.Errorf("the index has %d documents", len(before))
	}
	for path, url := range index(t, other) {
		if before[path] != url {
			t.Errorf("%s: another server names it %s, not %s", path, url, before[path])
		}
	}

	const cup, jar = "apis/cup.example/v1", "apis/jar.example/v1"
	w := get(d.ServeV3, before[cup], mediaJSON, "")
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), `"size"`) || s.asked == 0 {
		t.Errorf("the document: %d, %d bytes, %d schemas asked for", w.Code, w.Body.Len(), s.asked)
	}
	s.asked = 0
	if again := get(other.ServeV3, before[cup], mediaJSON, w.Header().Get("Etag")); again.Code != http.StatusNotModified || s.asked != 0 {
		t.Errorf("a document that the client has, from a server that has not made it: %d, %d schemas asked for", again.Code, s.asked)
	}

	s.put("2", "color", "cup")
	after := index(t, d)
	if after[cup] == before[cup] || after[jar] != before[jar] || after["apis/apps/v1"] != before["apis/apps/v1"] {
		t.Errorf("after a change of cup: cup %t, jar %t, apps %t have the same name", after[cup] == before[cup], after[jar] == before[jar], after["apis/apps/v1"] == before["apis/apps/v1"])
	}
	if w := get(d.ServeV3, before[cup], mediaJSON, ""); w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != after[cup] {
		t.Errorf("the old name: %d %s", w.Code, w.Header().Get("Location"))
	}
	if w := get(d.ServeV3, after[cup], mediaJSON, ""); !strings.Contains(w.Body.String(), `"color"`) {
		t.Error("the document has not changed")
	}
}

// TestNamelessSchemas: what has no name is made to find out; equal documents
// keep theirs.
func TestNamelessSchemas(t *testing.T) {
	s := newShop(t)
	s.put("", "size", "cup")
	d := s.documents()
	first := index(t, d)["apis/cup.example/v1"]
	v2 := get(d.ServeV2, "/openapi/v2", mediaJSON, "").Header().Get("Etag")
	s.put("", "size", "cup") // another definition that says the same
	if again := index(t, d)["apis/cup.example/v1"]; again != first {
		t.Errorf("an equal document is named %s, before it was %s", again, first)
	}
	if again := get(d.ServeV2, "/openapi/v2", mediaJSON, "").Header().Get("Etag"); again != v2 {
		t.Error("v2: an equal document has another name")
	}
	s.put("", "color", "cup")
	if again := index(t, d)["apis/cup.example/v1"]; again == first {
		t.Error("another document has the same name")
	}
	if again := get(d.ServeV2, "/openapi/v2", mediaJSON, "").Header().Get("Etag"); again == v2 {
		t.Error("v2: another document has the same name")
	}
}

// TestLeftOut: a group version that cannot be described takes no other with it, and
// the log says so once for each of the two documents, whatever else changes.
func TestLeftOut(t *testing.T) {
	for name, id := range map[string]string{"nameless": "", "named": "1"} {
		t.Run(name, func(t *testing.T) {
			s := newShop(t)
			d := s.documents()
			s.put(id, unwritable, "cup")
			for _, other := range []string{"jar", "box"} {
				s.put(id, "size", other)
				paths := index(t, d)
				if paths["api/v1"] == "" || paths["apis/"+other+".example/v1"] == "" || id == "" && paths["apis/cup.example/v1"] != "" {
					t.Errorf("the index: %v", paths)
				}
				if w := get(d.ServeV3, "/openapi/v3/apis/cup.example/v1", mediaJSON, ""); w.Code < 400 {
					t.Errorf("what cannot be described: %d", w.Code)
				}
				for _, media := range []string{mediaJSON, mediaProtoV2} {
					w := get(d.ServeV2, "/openapi/v2", media, "")
					if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), "/apis/"+other+".example/v1/") || strings.Contains(w.Body.String(), "/apis/cup.example/v1/") {
						t.Errorf("v2 as %s: %d, %d bytes", media, w.Code, w.Body.Len())
					}
				}
			}
			if n := strings.Count(s.log.String(), "level=WARN"); n != 2 {
				t.Errorf("%d lines, want 2:\n%s", n, s.log.String())
			}
		})
	}
}

// TestJoinedV2: the document of everything is that of its parts, in both forms,
// each model and path once.
func TestJoinedV2(t *testing.T) {
	s := newShop(t)
	d := s.documents()
	plain := get(d.ServeV2, "/openapi/v2", mediaJSON, "")
	s.put("1", "size", "cup", "jar", "box")
	s.put("2", "color", "jar")
	joined := get(d.ServeV2, "/openapi/v2", mediaJSON, "")
	var before, after map[string]map[string]any
	if err := json.Unmarshal(sectionsOf(t, plain.Body.Bytes()), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(sectionsOf(t, joined.Body.Bytes()), &after); err != nil {
		t.Fatal(err)
	}
	for section, entries := range before {
		for name := range entries {
			if after[section][name] == nil {
				t.Errorf("%s lost %s", section, name)
			}
		}
	}
	for _, name := range []string{"cup", "jar", "box"} {
		if after["definitions"]["example."+name+".v1."+strings.ToUpper(name)] == nil || after["paths"]["/apis/"+name+".example/v1/namespaces/{namespace}/"+name+"s/{name}"] == nil {
			t.Errorf("%s is missing", name)
		}
	}
	if text := joined.Body.String(); strings.Count(text, `"io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta":`) != 1 || !strings.Contains(text, `"color"`) {
		t.Error("a shared model is there more than once, or the change is missing")
	}

	w := get(d.ServeV2, "/openapi/v2", mediaProtoV2, "")
	var got openapi2.Document
	if err := proto.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%d: %v: %.300s", w.Code, err, w.Body)
	}
	want, err := openapi2.ParseDocument(joined.Body.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	names := func(doc *openapi2.Document) map[string]int {
		out := map[string]int{}
		for _, x := range doc.Definitions.AdditionalProperties {
			out["definition "+x.Name]++
		}
		for _, x := range doc.Paths.Path {
			out["path "+x.Name]++
		}
		for _, x := range doc.Parameters.AdditionalProperties {
			out["parameter "+x.Name]++
		}
		return out
	}
	if g, w := fmt.Sprint(names(&got)), fmt.Sprint(names(want)); g != w || got.Swagger != want.Swagger || got.Info.Version != want.Info.Version {
		t.Error("the protobuf form is not that of the JSON form")
	}
}

// sectionsOf is a document without the members that are no objects of objects.
func sectionsOf(t *testing.T, doc []byte) []byte {
	t.Helper()
	var top map[string]json.RawMessage
	if err := json.Unmarshal(doc, &top); err != nil {
		t.Fatal(err)
	}
	delete(top, "swagger")
	delete(top, "info")
	out, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
