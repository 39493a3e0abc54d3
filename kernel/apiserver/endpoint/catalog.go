package endpoint

import (
	"slices"
	"sort"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Catalog is the table by path: what each group version serves.
type Catalog struct {
	groups    []Group // discovery order; the core group, if any, is first in it
	resources map[schema.GroupVersion]map[string]*resource.Definition
}

// Group is an API group that is served.
type Group struct {
	Name     string   // "" is the core group
	Versions []string // preferred first
}

// NewCatalog indexes a table.
func NewCatalog(t *resource.Table) *Catalog {
	c := &Catalog{resources: map[schema.GroupVersion]map[string]*resource.Definition{}}
	versions := map[string][]string{}
	for _, d := range t.Definitions {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			if c.resources[gv] == nil {
				c.resources[gv] = map[string]*resource.Definition{}
				versions[d.Group] = append(versions[d.Group], v)
			}
			c.resources[gv][d.Resource] = d
		}
	}
	for _, g := range t.Groups() {
		vs := versions[g]
		if len(vs) == 0 {
			continue
		}
		sort.SliceStable(vs, func(i, j int) bool { return version.CompareKubeAwareVersionStrings(vs[i], vs[j]) > 0 })
		c.groups = append(c.groups, Group{g, vs})
	}
	return c
}

// Groups lists what is served, in discovery order. The caller must not change
// it.
func (c *Catalog) Groups() []Group { return c.groups }

// Group finds a group by name; nil when it is not served.
func (c *Catalog) Group(name string) *Group {
	for i := range c.groups {
		if c.groups[i].Name == name {
			return &c.groups[i]
		}
	}
	return nil
}

// Serves tells whether a group version is served.
func (c *Catalog) Serves(gv schema.GroupVersion) bool { return c.resources[gv] != nil }

// Definitions of one group version, by resource name.
func (c *Catalog) Definitions(gv schema.GroupVersion) []*resource.Definition {
	var out []*resource.Definition
	for _, d := range c.resources[gv] {
		out = append(out, d)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Resource < out[j].Resource })
	return out
}

// Endpoint is a resource or subresource in a version.
type Endpoint struct {
	Def     *resource.Definition
	Sub     *resource.Subresource // nil for the resource itself
	Version string
}

// Find looks up what a request is about; nil when nothing is served there.
func (c *Catalog) Find(info *request.RequestInfo) *Endpoint {
	if !info.IsResourceRequest {
		return nil
	}
	d := c.resources[schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}][info.Resource]
	if d == nil {
		return nil
	}
	res := &Endpoint{Def: d, Version: info.APIVersion}
	if info.Subresource != "" {
		if res.Sub = d.Subresource(info.Subresource); res.Sub == nil {
			return nil
		}
	}
	return res
}

// Kind is the kind of bodies of this path in the request's version.
func (e *Endpoint) Kind() schema.GroupVersionKind {
	if e.Sub != nil && !e.Sub.Kind.Empty() {
		return e.Sub.Kind
	}
	return schema.GroupVersionKind{Group: e.Def.Group, Version: e.Version, Kind: e.Def.Kind}
}

// HasTable tells whether objects of this path may be shown as rows: those that
// are stored, their status and their scale, as upstream's. A review, which has
// no name, and an answer to an action have no table.
func (e *Endpoint) HasTable() bool {
	if e.Sub == nil {
		return !e.Def.Virtual
	}
	return e.Sub.Style == resource.StyleStatus || e.Sub.Style == resource.StyleProjection
}

// Verbs that the path takes.
func (e *Endpoint) Verbs() []string {
	if e.Sub != nil {
		return e.Sub.Verbs
	}
	return e.Def.Verbs
}

// Allows tells whether the path takes a verb.
func (e *Endpoint) Allows(verb string) bool { return slices.Contains(e.Verbs(), verb) }

// Refusal answers a verb that is not allowed: as upstream does for a method
// without a route, or as it does for a verb that a resource cannot do where
// there is a reason to give.
func (e *Endpoint) Refusal(verb string) error {
	if e.Def.Unserved == "" {
		return response.MethodNotAllowed()
	}
	err := apierrors.NewMethodNotSupported(e.Def.GroupResource(), verb)
	err.ErrStatus.Message += ": " + e.Def.Unserved
	return err
}

// IsConnect tells whether requests are sent on to where the object lives.
func (e *Endpoint) IsConnect() bool {
	return e.Sub != nil && e.Sub.Style == resource.StyleConnect
}

// LongRunning tells whether a request streams: it has no timeout and takes no
// slot.
func (c *Catalog) LongRunning(info *request.RequestInfo) bool {
	if info.Verb == "watch" || info.Verb == "proxy" {
		return true
	}
	if !info.IsResourceRequest {
		return IsProfiling(info.Path) // as upstream: a profile takes the time that it is asked for
	}
	if info.Subresource == "" {
		return false
	}
	e := c.Find(info)
	return e != nil && e.IsConnect()
}

// IsProfiling tells that a path is of the process's profiles.
func IsProfiling(path string) bool {
	return path == "/debug/pprof" || strings.HasPrefix(path, "/debug/pprof/")
}

// SubresourceKind is the kind of bodies of a subresource in a version of its
// resource.
func SubresourceKind(d *resource.Definition, sub *resource.Subresource, gv schema.GroupVersion) schema.GroupVersionKind {
	if sub.Kind.Empty() {
		return gv.WithKind(d.Kind)
	}
	return sub.Kind
}
