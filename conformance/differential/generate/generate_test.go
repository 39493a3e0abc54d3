package generate

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/pintle-io/pintle/conformance/differential/api"
)

var every = []string{"create", "get", "list", "watch", "update", "patch", "delete", "deletecollection"}

func served(t *testing.T) *api.API {
	t.Helper()
	schema := &api.Schema{}
	err := json.Unmarshal([]byte(`{"type":"object","properties":{"metadata":{"type":"object"},"spec":{"type":"object","required":["n"],"properties":{
		"n":{"type":"integer"},"s":{"type":"string"},"l":{"type":"array","items":{"type":"string"}},"m":{"type":"object","additionalProperties":{"type":"string"}}}}}}`), schema)
	if err != nil {
		t.Fatal(err)
	}
	return &api.API{Resources: []*api.Resource{
		{Group: "g.example.com", Version: "v1", Name: "things", Kind: "Thing", KindGroup: "g.example.com", KindVersion: "v1", Namespaced: true, Verbs: every, Schema: schema},
		{Group: "g.example.com", Version: "v1", Name: "things/status", Kind: "Thing", KindGroup: "g.example.com", KindVersion: "v1", Namespaced: true, Verbs: []string{"get", "update", "patch"}, Schema: schema},
		{Group: "g.example.com", Version: "v1", Name: "reviews", Kind: "Review", KindGroup: "g.example.com", KindVersion: "v1", Verbs: []string{"create"}, Schema: schema},
	}}
}

func TestTheSameSeedMakesTheSameRequests(t *testing.T) {
	one, err := New(served(t), 7)
	if err != nil {
		t.Fatal(err)
	}
	two, _ := New(served(t), 7)
	other, _ := New(served(t), 8)
	differs := false
	for n := range one.Round() {
		a := one.Sequence(n)
		if !reflect.DeepEqual(a, two.Sequence(n)) {
			t.Fatalf("sequence %d differs from itself", n)
		}
		differs = differs || !reflect.DeepEqual(a, other.Sequence(n))
	}
	if !differs {
		t.Error("another seed makes the same requests")
	}
}

// Every shape that a resource can take is among the sequences of a round.
func TestARoundHasEveryShape(t *testing.T) {
	g, err := New(served(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	met := map[string]bool{}
	for n := range g.Round() {
		s := g.Sequence(n)
		if len(s.Requests) == 0 {
			t.Errorf("sequence %d (%s) has no request", n, s.Shape)
			continue
		}
		met[s.Shape+" "+s.Requests[0].Resource] = true
	}
	for _, shape := range shapes {
		for _, r := range g.api.Resources {
			if shape.fits(r) && !met[shape.name+" "+r.String()] {
				t.Errorf("%s never met shape %s", r, shape.name)
			}
		}
	}
}

// An object keeps its name and its label, or it could not be removed.
func TestMutationsKeepTheName(t *testing.T) {
	g, err := New(served(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	changed := 0
	for n := range 3 * g.Round() {
		s := g.Sequence(n)
		if s.Shape != "broken" || !strings.HasPrefix(s.Requests[0].Resource, "g.example.com/v1/things") {
			continue
		}
		for _, r := range s.Requests {
			if r.Verb != "create" {
				continue
			}
			var o struct {
				Kind     string
				Metadata struct {
					Name   string
					Labels map[string]string
				}
				Spec any
			}
			if err := json.Unmarshal(r.Body, &o); err != nil || o.Kind != "Thing" || o.Metadata.Name == "" || o.Metadata.Labels[label] == "" {
				t.Errorf("%s: %v", r.Body, err)
			}
			if !reflect.DeepEqual(o.Spec, map[string]any{"n": 0.0}) {
				changed++
			}
		}
	}
	if changed == 0 {
		t.Error("nothing was mutated")
	}
}

func TestPrepare(t *testing.T) {
	rs, err := Prepare()
	if err != nil {
		t.Fatal(err)
	}
	if want := 2*Namespaces + 2; len(rs) != want {
		t.Errorf("%d requests, want %d", len(rs), want)
	}
}
