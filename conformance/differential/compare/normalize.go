package compare

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

// Normalizer replaces what one server chooses freely by what it stands for. A
// uid and a resourceVersion become their number in the sequence of requests, so
// that it shows whether two are equal.
type Normalizer struct {
	side      *exchange.Side
	uids      map[string]string
	revisions map[string]string
	names     map[string]string // generated
	generated *regexp.Regexp    // such names, of the request that is being answered
	address   string
	// loose leaves revisions out: the objects are not those of a sequence.
	loose bool
}

// NewNormalizer begins a sequence of requests.
func NewNormalizer(side *exchange.Side) *Normalizer {
	n := &Normalizer{side: side, uids: map[string]string{}, revisions: map[string]string{}, names: map[string]string{}}
	if u, err := url.Parse(side.Server.URL); err == nil {
		n.address = u.Host
	}
	return n
}

var (
	uuid      = regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`)
	instant   = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|\+00:00)`)
	clusterIP = regexp.MustCompile(`\b10\.96\.\d+\.\d+\b`)
	revision  = regexp.MustCompile(`(?i)(resource ?version|current|ResourceVersion in [a-z ]+)([\\"]*: ?[\\"]*| \()\d+`)
	hash      = regexp.MustCompile(`\bhash=[0-9A-F]{128}`)
	age       = regexp.MustCompile(`^(\d+(ms|s|m|h|d|y))+$`)
	volume    = regexp.MustCompile(`\bkube-api-access-\w{5}\b`)
	token     = regexp.MustCompile(`\beyJ[\w-]+\.[\w-]+\.[\w-]+`)
)

// text normalizes a string, wherever it stands.
func (n *Normalizer) text(s string) string {
	if n.address != "" {
		s = strings.ReplaceAll(s, n.address, "<server>")
	}
	s = uuid.ReplaceAllStringFunc(s, func(u string) string {
		if n.loose {
			return "<uid>"
		}
		if _, ok := n.uids[u]; !ok {
			n.uids[u] = fmt.Sprintf("<uid %d>", len(n.uids)+1)
		}
		return n.uids[u]
	})
	s = instant.ReplaceAllStringFunc(s, recent)
	s = clusterIP.ReplaceAllString(s, "<cluster IP>")
	s = revision.ReplaceAllString(s, "$1$2<revision>")
	s = volume.ReplaceAllString(s, "kube-api-access-<generated>")
	s = token.ReplaceAllString(s, "<token>")
	s = hash.ReplaceAllString(s, "hash=<hash>")
	if n.generated != nil {
		s = n.generated.ReplaceAllString(s, "$1<generated>")
	}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		s = strings.ReplaceAll(s, name, n.names[name])
	}
	return s
}

// recent replaces an instant that a server's clock told; others are part of
// requests.
func recent(s string) string {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || time.Since(t).Abs() > 48*time.Hour {
		return s
	}
	if _, fraction, ok := strings.Cut(s, "."); ok {
		return fmt.Sprintf("<time with %d digits>", len(strings.TrimRight(fraction, "Z")))
	}
	return "<time>"
}

// value normalizes what a body says; path is where it stands.
func (n *Normalizer) value(path []string, v any) any {
	switch v := v.(type) {
	case map[string]any:
		n.learn(v)
		looseList(v)
		out := make(map[string]any, len(v))
		// In order, for the numbers that are given out.
		for _, k := range slices.Sorted(maps.Keys(v)) {
			out[n.text(k)] = n.value(append(path, k), v[k])
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = n.value(append(path, "*"), v[i])
		}
		return out
	case string:
		return n.leaf(path, v)
	case json.Number:
		if last(path) == "nodePort" || last(path) == "healthCheckNodePort" {
			return "<port>"
		}
	}
	return v
}

// learn takes the generated name of an object.
func (n *Normalizer) learn(object map[string]any) {
	prefix, _ := object["generateName"].(string)
	name, _ := object["name"].(string)
	if prefix != "" && len(name) > len(prefix) && strings.HasPrefix(name, prefix) {
		n.names[name] = prefix + "<generated>"
	}
}

// asks takes from a request what names of objects may be generated for it.
func (n *Normalizer) asks(body []byte) {
	n.generated = nil
	var o struct {
		Metadata struct{ GenerateName string }
	}
	if json.Unmarshal(body, &o) == nil && o.Metadata.GenerateName != "" {
		prefix := o.Metadata.GenerateName
		// As upstream's names.maxGeneratedNameLength and the alphabet of rand.String.
		prefix = prefix[:min(len(prefix), 58)]
		n.generated = regexp.MustCompile("(" + regexp.QuoteMeta(prefix) + ")[bcdfghjklmnpqrstvwxz2456789]{5}")
	}
}

// looseList leaves the revision of a list, a table or a bookmark out: it tells
// of other sequences, too.
func looseList(v map[string]any) {
	object := v
	_, list := v["items"]
	_, table := v["rows"]
	if v["type"] == "BOOKMARK" {
		object, _ = v["object"].(map[string]any)
	} else if !list && !table {
		return
	}
	m, _ := object["metadata"].(map[string]any)
	if rv, _ := m["resourceVersion"].(string); rv != "" && rv != "0" {
		m["resourceVersion"] = anyRevision
	}
}

const anyRevision = "<revision>"

func (n *Normalizer) leaf(path []string, s string) any {
	switch last(path) {
	case "resourceVersion":
		if s == "" || s == "0" || s == anyRevision || len(path) < 2 {
			return s
		}
		if n.loose {
			return anyRevision
		}
		if _, ok := n.revisions[s]; !ok {
			n.revisions[s] = fmt.Sprintf("<revision %d>", len(n.revisions)+1)
		}
		return n.revisions[s]
	case "continue":
		if s != "" {
			return "<continue>"
		}
	}
	if slices.Contains(path, "cells") && age.MatchString(s) {
		return "<age>"
	}
	return n.text(s)
}

func last(path []string) string {
	if len(path) == 0 {
		return ""
	}
	return path[len(path)-1]
}
