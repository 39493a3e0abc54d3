package generate

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/api"
	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

// maker makes one sequence.
type maker struct {
	*rand.Rand
	g         *Generator
	r         *api.Resource
	number    int
	name      string // of the first object
	namespace string // "" if objects have none
	requests  []*exchange.Request
}

// label is on all objects of a sequence, and on no other.
const label = "sequence"

// nameOf is the name of the i-th object of the sequence.
func (m *maker) nameOf(i int) string {
	plain := fmt.Sprintf("s%d-%d", m.number, i)
	parent, _ := m.r.Parent()
	switch parent {
	case "ipaddresses":
		return fmt.Sprintf("198.18.%d.%d", m.number/63%256, m.number%63*4+i)
	case "customresourcedefinitions":
		return "things." + plain + ".example.com"
	case "apiservices":
		return "v1." + plain + ".example.com"
	}
	return plain
}

// object is the smallest valid object, of that name.
func (m *maker) object(name string) map[string]any { return m.objectOf(m.r, name) }

func (m *maker) objectOf(r *api.Resource, name string) map[string]any {
	o := m.g.minimalOf(r)
	metadata := map[string]any{"name": name, "labels": map[string]any{label: fmt.Sprint("s", m.number)}}
	if m.namespace != "" {
		metadata["namespace"] = m.namespace
	}
	group := strings.TrimPrefix(strings.TrimPrefix(strings.TrimSuffix(name, ".example.com"), "things."), "v1.")
	o = replaced(o, strings.NewReplacer("${namespace}", m.namespace, "${name}", group, "${csr}", request)).(map[string]any)
	if r.Kind == "APIService" {
		o["spec"].(map[string]any)["group"] = strings.TrimPrefix(name, "v1.")
	}
	if r.Schema == nil || r.Schema.Properties["metadata"] != nil || r.Schema.Properties == nil {
		o["metadata"] = metadata
	}
	o["apiVersion"], o["kind"] = r.APIVersion(), r.Kind
	return o
}

// minimalOf is a copy of what minimal.yaml or the schema says.
func (g *Generator) minimalOf(r *api.Resource) map[string]any {
	group := r.KindGroup
	for _, key := range []string{r.Kind + "." + r.KindVersion + "." + group, r.Kind + "." + group, strings.TrimSuffix(r.Kind+"."+group, ".")} {
		if o, ok := g.minimal[key]; ok {
			return maps.Clone(o)
		}
	}
	o := map[string]any{}
	if r.Schema != nil {
		f := filler{Rand: rand.New(rand.NewPCG(1, 1))}
		if required, ok := f.value(r.Schema, "", 0).(map[string]any); ok {
			o = required
		}
	}
	return o
}

// replaced is a deep copy with strings replaced.
func replaced(v any, with *strings.Replacer) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = replaced(v[k], with)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = replaced(v[i], with)
		}
		return out
	case string:
		return with.Replace(v)
	}
	return v
}

var unchanged = strings.NewReplacer()

// copied is a deep copy.
func copied(o map[string]any) map[string]any { return replaced(o, unchanged).(map[string]any) }

// send adds a request; a body that is no string or bytes is sent as JSON.
func (m *maker) send(method, path string, body any) *exchange.Request {
	r := &exchange.Request{Method: method, Path: path, Header: http.Header{}, Verb: method, Resource: "-"}
	if m.r != nil {
		r.Resource = m.r.String()
	}
	switch b := body.(type) {
	case nil:
	case string:
		r.Body = []byte(b)
	case []byte:
		r.Body = b
	default:
		r.Body, _ = json.Marshal(b) // of maps, slices and strings
		r.Header.Set("Content-Type", "application/json")
	}
	m.requests = append(m.requests, r)
	return r
}

// sent adds a request and names its verb.
func (m *maker) sent(verb, method, path string, body any) *exchange.Request {
	r := m.send(method, path, body)
	r.Verb = verb
	return r
}

func (m *maker) collection() string      { return m.r.Path(m.namespace) }
func (m *maker) path(name string) string { return m.r.ObjectPath(m.namespace, name) }
func (m *maker) create(o any) *exchange.Request {
	return m.sent("create", "POST", m.collection(), o)
}

// created creates the first object and keeps its uid and resourceVersion.
func (m *maker) created() map[string]any {
	o := m.object(m.name)
	m.create(o).Save = saveObject
	return o
}

var saveObject = map[string]string{"uid": "metadata.uid", "rv": "metadata.resourceVersion"}

func (m *maker) get() *exchange.Request { return m.sent("get", "GET", m.path(m.name), nil) }

// chance is true in one of n cases.
func (m *maker) chance(n int) bool { return m.IntN(n) == 0 }

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

// cleanup removes the objects that the sequence may have made, whatever holds
// them.
func (m *maker) cleanup() (out []*exchange.Request) {
	parent, _ := m.r.Parent()
	r := m.r
	if p := m.g.api.Find(r, parent); p != nil {
		r = p
	}
	if !r.Has("delete") {
		return nil
	}
	c := &maker{}
	for i := range 4 {
		path := r.Path(m.namespace) + "/" + m.nameOf(i)
		if r.Has("patch") && i == 0 {
			c.send("PATCH", path, `{"metadata":{"finalizers":null}}`).Header.Set("Content-Type", "application/merge-patch+json")
		}
		c.send("DELETE", path+"?gracePeriodSeconds=0&propagationPolicy=Background", nil)
		if r.Kind == "Namespace" {
			c.send("PUT", path+"/finalize", map[string]any{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": m.nameOf(i)}})
		}
	}
	return c.requests
}

// withQuery adds parameters to a path.
func withQuery(path string, parameters ...string) string {
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return path + sep + strings.Join(parameters, "&")
}
