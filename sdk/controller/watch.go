package controller

import (
	"strings"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// AllResources, as [Watch.Resource], stands for every resource that can be
// listed, watched and deleted, those that come while the controller runs
// included; an object of two names (events) is told once. It takes the
// permission to list and watch all resources of all groups.
const AllResources = wire.AllResources

// Watch is one resource that a controller follows.
type Watch struct {
	// Resource as "group/version/plural", "v1/pods" for the core group, or
	// [AllResources], which needs Metadata.
	Resource string
	// Metadata must be set with [AllResources] and says nothing for one resource,
	// of which Fields chooses. With it an object is seen as
	// apiVersion, kind and metadata, with what discovery tells of its resource:
	// "resource" ("apps/v1/deployments"), "namespaced" and "collected" (it takes
	// part in garbage collection), the last two being there only if they are true;
	// Present may name them.
	Metadata bool
	// Map turns a changed object into requests. The zero value is Self. On an
	// update both the old and the new object are mapped.
	Map Map
	// Present are paths that must be set in the object, or have been before the
	// change, as in [admission.MatchRule]: other objects are not mapped.
	Present []string
	// Fields are the paths of what a Func map reads, as in [admission.Points]; it
	// is shown nothing else. Empty: all of the object.
	Fields []string
}

// MapKind says how a [Map] works; all but MapFunc are computed by the kernel
// without a call.
type MapKind uint8

// The kinds of maps, numbered as on the wire.
const (
	MapSelf MapKind = iota
	MapOwner
	MapLabel
	MapField
	MapNamespace
	MapConstant
	MapFunc
	MapLabels
	MapFieldChanged
)

// Map turns an object into requests.
type Map struct {
	Kind MapKind
	Arg  string
	To   Request
	Func func(object record.Value) []Request
}

// Self requests the object itself.
func Self() Map { return Map{Kind: MapSelf} }

// Owner requests the object's controlling owner when it is of the given kind,
// written as "apps/v1/ReplicaSet" or "v1/Node".
func Owner(kind string) Map { return Map{Kind: MapOwner, Arg: kind} }

// Label requests the object that the label's value names, in the same
// namespace.
func Label(key string) Map { return Map{Kind: MapLabel, Arg: key} }

// Field requests the cluster-scoped object that the field names, for example
// "spec.nodeName". An empty field requests nothing.
func Field(path string) Map { return Map{Kind: MapField, Arg: path} }

// FieldChanged is Field for objects that appear or go, and for those whose field
// changes: other changes of an object request nothing. A busy resource then
// wakes a controller that cares for one field no more often than it must.
func FieldChanged(path string) Map { return Map{Kind: MapFieldChanged, Arg: path} }

// InNamespace requests the object's namespace, as a cluster-scoped object.
func InNamespace() Map { return Map{Kind: MapNamespace} }

// UnlabelledInNamespace is InNamespace for objects without labels, of which [Labels]
// tells nothing: for who watches by Labels, and has selectors that select them, too.
func UnlabelledInNamespace() Map { return Map{Kind: MapNamespace, Arg: OnlyUnlabelled} }

// OnlyUnlabelled, as Map.Arg of MapNamespace, leaves out what has labels.
const OnlyUnlabelled = "unlabelled"

// Constant requests always the same.
func Constant(r Request) Map { return Map{Kind: MapConstant, To: r} }

// Func calls fn for every change of an object. fn must not keep object.
func Func(fn func(object record.Value) []Request) Map { return Map{Kind: MapFunc, Func: fn} }

// Labels requests everything that selects objects labelled like this one: the
// request's [Request.Labels] are the object's. A thousand pods of one
// Deployment make one request.
func Labels() Map { return Map{Kind: MapLabels} }

// OrphanLabels is Labels for objects without a controlling owner.
func OrphanLabels() Map { return Map{Kind: MapLabels, Arg: OnlyOrphans} }

// OnlyOrphans, as Map.Arg of MapLabels, leaves out what has a controlling owner.
const OnlyOrphans = "orphans"

// What a Func map is called for, as Map.Arg; "" is every change.
const (
	OnlyAdded    = "added"
	OnlyDeleted  = "deleted"
	OnlyDeleting = "deleting"
	OnlyOwned    = "owned"
)

// Added calls fn for objects that appear, those that exist when the controller
// starts included.
func Added(fn func(object record.Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyAdded, Func: fn}
}

// Deleted calls fn with the last state of objects that are gone. A deletion
// while no controller runs is not seen: look for what is missing at Added too.
func Deleted(fn func(object record.Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyDeleted, Func: fn}
}

// Deleting calls fn for objects that are being deleted and wait for
// finalizers.
func Deleting(fn func(object record.Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyDeleting, Func: fn}
}

// Changed calls fn with the new state of objects of which one of the fields at paths
// changes; not for those that appear or go. The kernel compares, so that other changes
// of a busy resource cost the plugin nothing. Not for [AllResources].
func Changed(fn func(object record.Value) []Request, paths ...string) Map {
	return Map{Kind: MapFunc, Arg: OnlyChanged + strings.Join(paths, ","), Func: fn}
}

// OnlyChanged begins the Map.Arg of [Changed]; paths follow, separated by commas.
const OnlyChanged = "changed "

// Condition calls fn for objects whose condition (of status.conditions) of the type
// appears or changes its status, those that exist when the controller starts included.
// The kernel compares, so that other changes cost the plugin nothing. Not for
// [AllResources].
func Condition(fn func(object record.Value) []Request, conditionType string) Map {
	return Map{Kind: MapFunc, Arg: OnlyCondition + conditionType, Func: fn}
}

// OnlyCondition begins the Map.Arg of [Condition]; the type follows.
const OnlyCondition = "condition "

// Owned calls fn for objects that name owners: when they appear, and when their
// owners change.
func Owned(fn func(object record.Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyOwned, Func: fn}
}
