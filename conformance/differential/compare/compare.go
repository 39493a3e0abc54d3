// Package compare says in what two answers to a request differ, once what a
// server chooses freely is left out.
package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

// Difference is one thing in which two answers differ.
type Difference struct {
	// Where is "code", "header NAME", or the path of a field, with * for indices.
	Where string
	// Upstream and Pintle are what each said, shortened.
	Upstream, Pintle string
}

// String is a line for reports and for patterns of known differences.
func (d Difference) String() string {
	return fmt.Sprintf("%s: upstream %s, pintle %s", d.Where, d.Upstream, d.Pintle)
}

const (
	longestValue = 400 // bytes of a value in a Difference
	most         = 60  // differences of one answer
)

// headers are those that tell a client something about the answer.
var headers = []string{
	"Allow", "Cache-Control", "Content-Encoding", "Content-Type", "Location", "Retry-After",
	"Vary", "Warning", "Www-Authenticate", "X-Content-Type-Options",
}

// Comparison compares the answers of one sequence of requests.
type Comparison [2]*Normalizer

// New begins a sequence of requests.
func New(p exchange.Pair) Comparison {
	return Comparison{NewNormalizer(p[0]), NewNormalizer(p[1])}
}

// Loose begins a sequence that reads what both servers made by themselves, in
// whatever order: their revisions are left out.
func Loose(p exchange.Pair) Comparison {
	c := New(p)
	c[0].loose, c[1].loose = true, true
	return c
}

// Answers returns the differences of two answers to a request, in the order of
// their places. If the codes differ, or there is no answer, that is the only
// one.
func (c Comparison) Answers(r *exchange.Request, a [2]*exchange.Answer) []Difference {
	var bodies [2]any
	for i := range a {
		c[i].asks(r.Body)
		bodies[i] = c[i].value(nil, decode(a[i].Header.Get("Content-Type"), a[i].Body))
	}
	if a[0].Err != "" || a[1].Err != "" { // both without an answer agree on nothing
		return []Difference{{"answer", errorText(a[0]), errorText(a[1])}}
	}
	if a[0].Code != a[1].Code {
		return []Difference{{"code", summary(a[0], bodies[0]), summary(a[1], bodies[1])}}
	}
	var out differences
	for _, h := range headers {
		out.header(h, c[0].header(a[0], h), c[1].header(a[1], h))
	}
	out.values(nil, bodies[0], bodies[1])
	return out
}

// Succeeded says whether an answer is one of success.
func Succeeded(a *exchange.Answer) bool { return a.Err == "" && a.Code < http.StatusBadRequest }

func errorText(a *exchange.Answer) string {
	if a.Err == "" {
		return fmt.Sprint(a.Code)
	}
	return a.Err
}

// summary is an answer in a line.
func summary(a *exchange.Answer, body any) string {
	if m, ok := body.(map[string]any); ok {
		if m["kind"] == "Status" {
			return short(fmt.Sprintf("%d %v", a.Code, m["message"]))
		}
		return fmt.Sprintf("%d %v", a.Code, m["kind"])
	}
	return short(fmt.Sprintf("%d %v", a.Code, body))
}

func (n *Normalizer) header(a *exchange.Answer, name string) string {
	vs := slices.Clone(a.Header.Values(name))
	if name == "Warning" || name == "Vary" {
		slices.Sort(vs)
	}
	return n.text(strings.Join(vs, " | "))
}

type differences []Difference

func (ds *differences) add(where, upstream, pintle string) {
	switch len(*ds) {
	case most:
	case most - 1: // which nobody can know
		*ds = append(*ds, Difference{"and more", "not compared", "not compared"})
	default:
		*ds = append(*ds, Difference{where, short(upstream), short(pintle)})
	}
}

func (ds *differences) header(name, upstream, pintle string) {
	if upstream != pintle {
		ds.add("header "+name, quoted(upstream), quoted(pintle))
	}
}

// values adds in what two values differ.
func (ds *differences) values(path []string, a, b any) {
	switch a := a.(type) {
	case map[string]any:
		if b, ok := b.(map[string]any); ok {
			ds.maps(path, a, b)
			return
		}
	case []any:
		if b, ok := b.([]any); ok && len(a) == len(b) {
			ds.slices(path, a, b)
			return
		}
	case string:
		if b, ok := b.(string); ok && sameText(path, a, b) {
			return
		}
	default:
		if a == b {
			return
		}
	}
	if _, isMap := b.(map[string]any); a == nil && b == nil && !isMap {
		return
	}
	ds.add(where(path), text(a), text(b))
}

func (ds *differences) maps(path []string, a, b map[string]any) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		va, inA := a[k]
		vb, inB := b[k]
		switch here := append(slices.Clone(path), k); {
		case !inA:
			ds.add(where(here), "nothing", text(vb))
		case !inB:
			ds.add(where(here), text(va), "nothing")
		default:
			ds.values(here, va, vb)
		}
	}
}

func (ds *differences) slices(path []string, a, b []any) {
	if last(path) == "causes" {
		a, b = sorted(a), sorted(b)
	}
	for i := range a {
		ds.values(append(slices.Clone(path), "*"), a[i], b[i])
	}
}

// sorted orders values whose order means nothing: upstream finds some errors in
// the order of a map.
func sorted(vs []any) []any {
	vs = slices.Clone(vs)
	slices.SortFunc(vs, func(a, b any) int { return strings.Compare(text(a), text(b)) })
	return vs
}

// sameText says whether two texts are equal; a message, but for the order of
// the errors that it lists.
func sameText(path []string, a, b string) bool {
	if a == b {
		return true
	}
	if last(path) != "message" || len(a) != len(b) {
		return false
	}
	return slices.Equal(parts(a), parts(b))
}

func parts(message string) []string {
	ps := strings.FieldsFunc(message, func(r rune) bool { return strings.ContainsRune(",[]{} \"", r) })
	slices.Sort(ps)
	return ps
}

func where(path []string) string { return "/" + strings.Join(path, "/") }

func text(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprint(v)
	}
	// Marshal escapes what a reader wants to see.
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
}

func quoted(s string) string {
	if s == "" {
		return "nothing"
	}
	return text(s)
}

func short(s string) string {
	if len(s) > longestValue {
		return s[:longestValue] + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return s
}
