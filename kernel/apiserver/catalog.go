package apiserver

import (
	"slices"
	"sort"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/endpoints/request"

	"github.com/pintle-io/pintle/kernel/resource"
)

// catalog is the table by path: what each group version serves.
type catalog struct {
	groups    []apiGroup // discovery order; the core group, if any, is first in it
	resources map[schema.GroupVersion]map[string]*resource.Definition
}

type apiGroup struct {
	name     string
	versions []string // preferred first
}

func newCatalog(t *resource.Table) *catalog {
	c := &catalog{resources: map[schema.GroupVersion]map[string]*resource.Definition{}}
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
		c.groups = append(c.groups, apiGroup{g, vs})
	}
	return c
}

func (c *catalog) group(name string) *apiGroup {
	for i := range c.groups {
		if c.groups[i].name == name {
			return &c.groups[i]
		}
	}
	return nil
}

// definitions of one group version, by resource name.
func (c *catalog) definitions(gv schema.GroupVersion) []*resource.Definition {
	var out []*resource.Definition
	for _, d := range c.resources[gv] {
		out = append(out, d)
	}
	sort.Slice(out, func(i, j int) bool { return out[i].Resource < out[j].Resource })
	return out
}

// served is a resource or subresource in a version.
type served struct {
	def     *resource.Definition
	sub     *resource.Subresource // nil for the resource itself
	version string
}

// find looks up what a request is about; nil when nothing is served there.
func (c *catalog) find(info *request.RequestInfo) *served {
	if !info.IsResourceRequest {
		return nil
	}
	d := c.resources[schema.GroupVersion{Group: info.APIGroup, Version: info.APIVersion}][info.Resource]
	if d == nil {
		return nil
	}
	res := &served{def: d, version: info.APIVersion}
	if info.Subresource != "" {
		if res.sub = d.Subresource(info.Subresource); res.sub == nil {
			return nil
		}
	}
	return res
}

// kind is the kind of bodies of this path in the request's version.
func (s *served) kind() schema.GroupVersionKind {
	if s.sub != nil && !s.sub.Kind.Empty() {
		return s.sub.Kind
	}
	return schema.GroupVersionKind{Group: s.def.Group, Version: s.version, Kind: s.def.Kind}
}

// hasTable tells whether objects of this path may be shown as rows: those that
// are stored, their status and their scale, as upstream's. A review, which has
// no name, and an answer to an action have no table.
func (s *served) hasTable() bool {
	if s.sub == nil {
		return !s.def.Virtual
	}
	return s.sub.Style == resource.StyleStatus || s.sub.Style == resource.StyleProjection
}

func (s *served) verbs() []string {
	if s.sub != nil {
		return s.sub.Verbs
	}
	return s.def.Verbs
}

func (s *served) allows(verb string) bool { return slices.Contains(s.verbs(), verb) }

// refusal answers a verb that is not allowed: as upstream does for a method
// without a route, or as it does for a verb that a resource cannot do where
// there is a reason to give.
func (s *served) refusal(verb string) error {
	if s.def.Unserved == "" {
		return methodNotAllowed()
	}
	err := apierrors.NewMethodNotSupported(s.def.GroupResource(), verb)
	err.ErrStatus.Message += ": " + s.def.Unserved
	return err
}

func isConnect(sub *resource.Subresource) bool {
	return sub != nil && sub.Style == resource.StyleConnect
}
