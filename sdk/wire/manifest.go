package wire

import "slices"

// Point is a bit set of extension points that an instance serves.
type Point uint32

// The extension points.
const (
	PointPreFilter Point = 1 << iota
	PointFilter
	PointFilterAll
	PointPreScore
	PointScore
	PointScoreAll
	PointNormalize
	PointMutate
	PointValidate
	PointController
	PointConvert // since 2.3
	PointReserve // since 2.4
	PointPreBind // since 2.4
)

// Scheduling, Admission are the points of one consumer each.
const (
	Scheduling = PointPreFilter | PointFilter | PointFilterAll | PointPreScore | PointScore | PointScoreAll | PointNormalize | PointReserve | PointPreBind
	Admission  = PointMutate | PointValidate
)

// Effective are the points that cannot be rehearsed: a controller's writes are what it
// reads next, and an object that was not converted cannot be answered.
const Effective = PointController | PointConvert

// Has tells whether any of q is served.
func (p Point) Has(q Point) bool { return p&q != 0 }

var pointNames = []string{"PreFilter", "Filter", "FilterAll", "PreScore", "Score", "ScoreAll", "Normalize", "Mutate", "Validate", "Controller", "Convert", "Reserve", "PreBind"}

// Names lists the points by name, in order.
func (p Point) Names() []string {
	var out []string
	for i, n := range pointNames {
		if p&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// PointsOf is the set of the points of these names; names of none are left out.
func PointsOf(names []string) Point {
	var p Point
	for i, n := range pointNames {
		if slices.Contains(names, n) {
			p |= 1 << i
		}
	}
	return p
}

// Manifest is what a guest says about itself. Points and what follows are
// known after OpOpen only.
type Manifest struct {
	Name         string
	Version      string
	Major, Minor uint32

	Points  Point
	Scope   uint8 // schedule.Scope
	Match   []Match
	Watches []Watch
	Workers uint32
	// Fields are those of the objects that the admission points are shown, as
	// record.Fields has them; "" is all.
	Fields string
	// Implements are the resources whose objects the plugin brings about:
	// "apps/v1/statefulsets".
	Implements []string
}

// Match is an admission match rule; see admission.MatchRule.
type Match struct {
	Operations       []string
	Resources        []string
	Namespaces       []string
	ExceptNamespaces []string
	Present          []string
	Given            []string // since 2.1
	NamespaceLabels  []string // since 2.1
}

// AllResources, in place of a resource, stands for all that can be listed,
// watched and deleted: a watch or a list of it tells metadata only. KindMark
// stands between version and kind where a resource is named by its kind:
// "apps/v1, Kind=ReplicaSet".
const (
	AllResources = "*"
	KindMark     = ", Kind="
)

// Watch is one watch of a controller; see controller.Watch. Map is a controller.MapKind.
type Watch struct {
	Resource    string
	Map         uint8
	Arg         string
	ToNamespace string
	ToName      string
	Present     []string
	Fields      string // of the objects that MapFunc is shown; see Manifest.Fields
}

// AppendManifest encodes m.
func AppendManifest(b []byte, m Manifest) []byte {
	b = AppendString(b, m.Name)
	b = AppendString(b, m.Version)
	b = AppendUint(b, uint64(m.Major))
	b = AppendUint(b, uint64(m.Minor))
	b = AppendUint(b, uint64(m.Points))
	b = append(b, m.Scope)
	b = AppendUint(b, uint64(m.Workers))
	b = AppendUint(b, uint64(len(m.Match)))
	for _, x := range m.Match {
		b = AppendStrings(b, x.Operations)
		b = AppendStrings(b, x.Resources)
		b = AppendStrings(b, x.Namespaces)
		b = AppendStrings(b, x.ExceptNamespaces)
		b = AppendStrings(b, x.Present)
	}
	b = AppendUint(b, uint64(len(m.Watches)))
	for _, w := range m.Watches {
		b = AppendString(b, w.Resource)
		b = append(b, w.Map)
		b = AppendString(b, w.Arg)
		b = AppendString(b, w.ToNamespace)
		b = AppendString(b, w.ToName)
		b = AppendStrings(b, w.Present)
		b = AppendString(b, w.Fields)
	}
	b = AppendString(b, m.Fields)
	b = AppendStrings(b, m.Implements)
	return appendSince1(b, m)
}

// appendSince1 encodes what came with minor version 1: a reader of version 0 stops
// before it.
func appendSince1(b []byte, m Manifest) []byte {
	for _, x := range m.Match {
		b = AppendStrings(AppendStrings(b, x.Given), x.NamespaceLabels)
	}
	return b
}

// AppendManifests encodes the answer of OpHandshake.
func AppendManifests(b []byte, list []Manifest) []byte {
	b = AppendUint(b, uint64(len(list)))
	for _, m := range list {
		b = AppendBytes(b, AppendManifest(nil, m))
	}
	return b
}

// ReadManifests reads what AppendManifests wrote.
func ReadManifests(r *Reader) []Manifest {
	var out []Manifest
	for range r.Count(2) {
		ReadSized(r, func(r *Reader) { out = append(out, r.Manifest()) })
	}
	return out
}

// Manifest reads what AppendManifest wrote; of another major version, which is
// for the caller to refuse, the first four fields.
func (r *Reader) Manifest() Manifest {
	m := Manifest{Name: r.Str(), Version: r.Str(), Major: uint32(r.Uint()), Minor: uint32(r.Uint())}
	if m.Major != Major {
		return m
	}
	m.Points, m.Scope, m.Workers = Point(r.Uint()), r.Byte(), uint32(r.Uint())
	for range r.Count(5) {
		m.Match = append(m.Match, Match{Operations: r.Strings(), Resources: r.Strings(), Namespaces: r.Strings(), ExceptNamespaces: r.Strings(), Present: r.Strings()})
	}
	for range r.Count(7) {
		m.Watches = append(m.Watches, Watch{Resource: r.Str(), Map: r.Byte(), Arg: r.Str(), ToNamespace: r.Str(), ToName: r.Str(), Present: r.Strings(), Fields: r.Str()})
	}
	m.Fields = r.Str()
	m.Implements = r.Strings()
	if m.Minor < 1 {
		return m
	}
	for i := range m.Match {
		m.Match[i].Given, m.Match[i].NamespaceLabels = r.Strings(), r.Strings()
	}
	return m
}
