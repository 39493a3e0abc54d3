package endpoint

import (
	"slices"
	"sort"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/pintle-io/pintle/kernel/resource"
)

// Snapshot is what one table of kinds serves, by group and version: what
// documents about the whole API are made of. It is immutable.
type Snapshot struct {
	Table    *resource.Table
	groups   []Group // discovery order; the core group, if any, is first in it
	versions map[schema.GroupVersion]*GroupVersion
}

// Group is an API group that is served.
type Group struct {
	Name     string
	Versions []*GroupVersion // preferred first
}

// GroupVersion is what one version of a group serves. A snapshot has the same
// pointer as the one before where nothing has changed, so that what was made of
// a group version is kept by it.
type GroupVersion struct {
	schema.GroupVersion
	Definitions []*resource.Definition // by resource name
}

// Snapshot returns what the newest table serves. It is made when it is first
// asked for after a change, at a cost that grows with the number of kinds.
func (c *Catalog) Snapshot() *Snapshot {
	if s := c.snapshot.Load(); s.Table == c.source.Snapshot() {
		return s
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	old, t := c.snapshot.Load(), c.source.Snapshot()
	if old.Table == t {
		return old
	}
	s := newSnapshot(t, old.versions)
	c.snapshot.Store(s)
	return s
}

func newSnapshot(t *resource.Table, known map[schema.GroupVersion]*GroupVersion) *Snapshot {
	s := &Snapshot{Table: t, versions: map[schema.GroupVersion]*GroupVersion{}}
	groups := map[string][]*GroupVersion{}
	for _, d := range t.Definitions {
		for _, v := range d.Versions {
			gv := schema.GroupVersion{Group: d.Group, Version: v}
			x := s.versions[gv]
			if x == nil {
				x = &GroupVersion{GroupVersion: gv}
				s.versions[gv] = x
				groups[d.Group] = append(groups[d.Group], x)
			}
			x.Definitions = append(x.Definitions, d)
		}
	}
	for _, name := range t.Groups() {
		list := groups[name]
		if len(list) == 0 {
			continue
		}
		sort.SliceStable(list, func(i, j int) bool {
			return version.CompareKubeAwareVersionStrings(list[i].Version, list[j].Version) > 0
		})
		for i, x := range list {
			slices.SortFunc(x.Definitions, func(a, b *resource.Definition) int { return strings.Compare(a.Resource, b.Resource) })
			if k := known[x.GroupVersion]; k != nil && slices.Equal(k.Definitions, x.Definitions) {
				list[i], s.versions[x.GroupVersion] = k, k
			}
		}
		s.groups = append(s.groups, Group{name, list})
	}
	return s
}

// Groups lists what is served, in discovery order. The caller must not change
// it.
func (s *Snapshot) Groups() []Group { return s.groups }

// Group finds a group by name; nil when it is not served.
func (s *Snapshot) Group(name string) *Group {
	for i := range s.groups {
		if s.groups[i].Name == name {
			return &s.groups[i]
		}
	}
	return nil
}

// Version finds a group version; nil when it is not served.
func (s *Snapshot) Version(gv schema.GroupVersion) *GroupVersion { return s.versions[gv] }

// BuiltIn tells whether a group has kinds that come with the server: upstream's
// router answers whatever is asked below such a group.
func (s *Snapshot) BuiltIn(group string) bool {
	g := s.Group(group)
	return g != nil && slices.ContainsFunc(g.Versions, func(x *GroupVersion) bool {
		return slices.ContainsFunc(x.Definitions, func(d *resource.Definition) bool { return !IsCustom(d) })
	})
}

// Custom tells whether a kind of the group version brings its own types or
// schema.
func (x *GroupVersion) Custom() bool {
	return slices.ContainsFunc(x.Definitions, func(d *resource.Definition) bool { return d.Types != nil || d.Schema != nil })
}
