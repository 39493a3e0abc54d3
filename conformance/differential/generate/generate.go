// Package generate makes the requests that both servers are sent: sequences of
// them about one object, each sequence wholly determined by the seed and its
// number. What kinds, subresources, verbs and fields there are is what the
// server said in discovery and OpenAPI.
package generate

import (
	_ "embed"
	"fmt"
	"math/rand/v2"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/pintle-io/pintle/conformance/differential/api"
	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

//go:embed minimal.yaml
var minimalText string

//go:embed crds.yaml
var crdsText string

// Namespaces is in how many namespaces sequences are; the ones of a namespace
// are sent one after the other.
const Namespaces = 4

// Sequence is requests about one object, in their order.
type Sequence struct {
	Number   int
	Shape    string // of what sort it is
	Resource string // what it is about
	Requests []*exchange.Request
	// Cleanup removes what they leave; what is answered is not compared.
	Cleanup []*exchange.Request
}

// Generator makes sequences.
type Generator struct {
	api     *api.API
	seed    uint64
	minimal map[string]map[string]any
	order   []int // of resources and shapes
}

// New makes a generator of requests to what an API serves.
func New(a *api.API, seed uint64) (*Generator, error) {
	g := &Generator{api: a, seed: seed}
	if err := yaml.UnmarshalStrict([]byte(minimalText), &g.minimal); err != nil {
		return nil, fmt.Errorf("minimal.yaml: %w", err)
	}
	g.order = rand.New(rand.NewPCG(seed, 0)).Perm(g.Round())
	return g, nil
}

// Round is after how many sequences every resource has met every shape.
func (g *Generator) Round() int { return len(g.api.Resources) * len(shapes) }

// Namespace is where sequence number n is.
func Namespace(n int) string { return fmt.Sprintf("work-%d", n%Namespaces) }

// Sequence makes sequence number n, from 0. Numbers go through all pairs of a
// resource and a shape in an order of the seed's, and from Round on again, with
// other values.
func (g *Generator) Sequence(n int) *Sequence {
	which := g.order[n%len(g.order)]
	r, at := g.api.Resources[which/len(shapes)], which%len(shapes)
	m := &maker{
		Rand: rand.New(rand.NewPCG(g.seed, uint64(n))), g: g, r: r,
		number: n, namespace: Namespace(n),
	}
	if !r.Namespaced {
		m.namespace = ""
	}
	m.name = m.nameOf(0)
	s := &Sequence{Number: n, Resource: r.String()}
	for i := range shapes { // the first from there on that the resource can take
		shape := shapes[(at+i)%len(shapes)]
		if shape.fits(r) {
			s.Shape = shape.name
			shape.make(m)
			break
		}
	}
	s.Requests, s.Cleanup = m.requests, m.cleanup()
	return s
}

// Prepare are requests that make what sequences need: namespaces with their
// service account, and kinds of custom objects.
func Prepare() (out []*exchange.Request, err error) {
	m := &maker{}
	for i := range Namespaces {
		ns := Namespace(i)
		m.send("POST", "/api/v1/namespaces", map[string]any{"metadata": map[string]any{"name": ns}})
		m.send("POST", "/api/v1/namespaces/"+ns+"/serviceaccounts", map[string]any{"metadata": map[string]any{"name": "default"}})
	}
	for _, doc := range strings.Split(crdsText, "\n---\n") {
		var crd map[string]any
		if err := yaml.Unmarshal([]byte(doc), &crd); err != nil {
			return nil, fmt.Errorf("crds.yaml: %w", err)
		}
		m.send("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
	}
	return m.requests, nil
}

// Prepared are paths that answer 200 when what Prepare made is served.
func Prepared() []string {
	return []string{
		"/apis/test.example.com/v1/gadgets", "/apis/test.example.com/v1beta1/gadgets", "/apis/test.example.com/v1/widgets",
		"/openapi/v3/apis/test.example.com/v1", "/openapi/v3/apis/test.example.com/v1beta1",
	}
}
