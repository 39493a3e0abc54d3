package custom

import (
	"slices"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	"github.com/pintle-io/pintle/kernel/custom/conditions"
)

// claims are the names that are in use, by group.
type claims map[string]*groupNames

// groupNames are those of a group.
type groupNames struct {
	resources, kinds map[string]string // name → definition
	granted          map[string]grants // by definition
}

// grants are the names that a definition has.
type grants struct{ resources, kinds []string }

// Resource implements conditions.Names.
func (g *groupNames) Resource(name string) bool { _, ok := g.resources[name]; return ok }

// Kind implements conditions.Names.
func (g *groupNames) Kind(name string) bool { _, ok := g.kinds[name]; return ok }

func (c claims) in(group string) *groupNames {
	g := c[group]
	if g == nil {
		g = &groupNames{map[string]string{}, map[string]string{}, map[string]grants{}}
		c[group] = g
	}
	return g
}

// grant notes the names that a definition has, in place of those that it had; it
// tells whether others have become free.
func (c claims) grant(crd *apiextensionsv1.CustomResourceDefinition) (freed bool) {
	n := &crd.Status.AcceptedNames
	now := grants{append([]string{n.Plural, n.Singular}, n.ShortNames...), []string{n.Kind, n.ListKind}}
	return c.in(crd.Spec.Group).put(crd.Name, now)
}

// release forgets a definition; it tells whether names have become free.
func (c claims) release(group, name string) (freed bool) {
	g := c.in(group)
	freed = g.put(name, grants{})
	delete(g.granted, name)
	if len(g.granted) == 0 {
		delete(c, group)
	}
	return freed
}

func (g *groupNames) put(owner string, now grants) (freed bool) {
	was := g.granted[owner]
	g.granted[owner] = now
	freed = exchange(g.resources, owner, was.resources, now.resources)
	return exchange(g.kinds, owner, was.kinds, now.kinds) || freed
}

func exchange(names map[string]string, owner string, was, now []string) (freed bool) {
	for _, name := range was {
		if names[name] == owner && !slices.Contains(now, name) {
			delete(names, name)
			freed = true
		}
	}
	for _, name := range now {
		if _, taken := names[name]; !taken && name != "" {
			names[name] = owner
		}
	}
	return freed
}

var _ conditions.Names = (*groupNames)(nil)
