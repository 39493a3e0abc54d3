package discovery

import (
	"cmp"
	"slices"
	"strings"

	apidiscoveryv2 "k8s.io/api/apidiscovery/v2"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"

	"github.com/pintle-io/pintle/kernel/apiserver/endpoint"
)

// Registration is what an APIService says of a group version.
type Registration struct {
	schema.GroupVersion
	GroupPriority, VersionPriority int32
	// Remote is what another server has; nil: it is this server's. Nobody modifies it.
	Remote *apidiscoveryv2.APIVersionDiscovery
}

// Registrations are all that APIServices say. They are immutable once they were handed
// out.
type Registrations struct{ Versions []Registration }

// Sort brings them into one order.
func (r *Registrations) Sort() {
	slices.SortFunc(r.Versions, func(a, b Registration) int {
		return cmp.Or(strings.Compare(a.Group, b.Group), strings.Compare(a.Version, b.Version))
	})
}

// Equal tells that two that are sorted say the same.
func (r *Registrations) Equal(other *Registrations) bool {
	return slices.Equal(r.Versions, other.Versions)
}

// group is an API group as documents show it.
type group struct {
	name     string
	versions []member // preferred first
}

// member is a version of a group: this server's, or another's.
type member struct {
	schema.GroupVersion
	local  *endpoint.GroupVersion
	remote *apidiscoveryv2.APIVersionDiscovery
}

// merge joins what this server has with what others have: groups by priority, those of
// this server that have the same in their own order, before others.
func merge(s *endpoint.Snapshot, r *Registrations) []group {
	var out []group
	at := map[string]int{}
	for _, g := range s.Groups() {
		at[g.Name] = len(out)
		members := make([]member, len(g.Versions))
		for i, v := range g.Versions {
			members[i] = member{GroupVersion: v.GroupVersion, local: v}
		}
		out = append(out, group{g.Name, members})
	}
	if !slices.ContainsFunc(r.Versions, func(x Registration) bool { return x.Remote != nil }) {
		return out
	}
	groupPriority, versionPriority := map[string]int32{}, map[schema.GroupVersion]int32{}
	for _, x := range r.Versions {
		groupPriority[x.Group] = max(groupPriority[x.Group], x.GroupPriority)
		versionPriority[x.GroupVersion] = x.VersionPriority
		if x.Remote == nil {
			continue
		}
		i, ok := at[x.Group]
		if !ok {
			i = len(out)
			at[x.Group], out = i, append(out, group{name: x.Group})
		}
		own := member{GroupVersion: x.GroupVersion, remote: x.Remote}
		g := &out[i]
		if j := slices.IndexFunc(g.versions, func(m member) bool { return m.GroupVersion == x.GroupVersion }); j >= 0 {
			g.versions[j] = own
		} else {
			g.versions = append(g.versions, own)
		}
		slices.SortStableFunc(g.versions, func(a, b member) int {
			return cmp.Or(-cmp.Compare(versionPriority[a.GroupVersion], versionPriority[b.GroupVersion]), -version.CompareKubeAwareVersionStrings(a.Version, b.Version))
		})
	}
	// A group that nobody has registered yet stays behind the one before it.
	last := int32(1 << 30)
	for _, g := range out {
		if _, ok := groupPriority[g.name]; !ok {
			groupPriority[g.name] = last
		}
		last = groupPriority[g.name]
	}
	slices.SortStableFunc(out, func(a, b group) int { return -cmp.Compare(groupPriority[a.name], groupPriority[b.name]) })
	return out
}
