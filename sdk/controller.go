package sdk

import (
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/tape"
)

// Controller is the reconcile point of a plugin. The kernel owns cache, queue,
// back-off and concurrency; the plugin writes Reconcile.
type Controller struct {
	// Watches say which objects are of interest and which requests their
	// changes make.
	Watches []Watch
	// Workers is how many requests may be reconciled at once, each by an
	// instance of its own. 0 means 1.
	Workers int
	// Reconcile brings the world one step closer to what is wanted for the
	// named object. It is level based: it reads the present state and does not
	// know which event woke it. A request is never reconciled by two workers
	// at once. An error puts the request back with growing delay, and Result
	// is then ignored.
	Reconcile func(Client, Request) (Result, error)
}

// Request names what to reconcile.
type Request struct {
	Namespace string // "" for cluster scoped
	Name      string
}

func (r Request) String() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

// Result is what a successful Reconcile asks for.
type Result struct {
	// RequeueAfter asks for another look after this time; 0: only when
	// something changes.
	RequeueAfter time.Duration
	// Also are requests to queue besides, as if something they stand for had
	// changed. A request that stands for many, such as one of [Labels], names
	// them here instead of doing their work itself, so that no two workers
	// ever have the same one.
	Also []Request
}

// Watch is one resource that a controller follows.
type Watch struct {
	// Resource as "group/version/plural", "v1/pods" for the core group.
	Resource string
	// Map turns a changed object into requests. The zero value is Self. On an
	// update both the old and the new object are mapped.
	Map Map
	// Present are paths that must be set in the object, or have been before the
	// change, as in [MatchRule]: other objects are not mapped.
	Present []string
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
	Func func(object Value) []Request
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

// Constant requests always the same.
func Constant(r Request) Map { return Map{Kind: MapConstant, To: r} }

// Func calls fn for every change of an object. fn must not keep object.
func Func(fn func(object Value) []Request) Map { return Map{Kind: MapFunc, Func: fn} }

// Labels requests everything that selects objects labelled like this one: the
// request's [Request.Labels] are the object's. A thousand pods of one
// Deployment make one request.
func Labels() Map { return Map{Kind: MapLabels} }

// OrphanLabels is Labels for objects without a controlling owner.
func OrphanLabels() Map { return Map{Kind: MapLabels, Arg: OnlyOrphans} }

// OnlyOrphans, as Map.Arg of MapLabels, leaves out what has a controlling owner.
const OnlyOrphans = "orphans"

// labelsPrefix begins the name of a request that stands for labels; no
// object's name does.
const labelsPrefix = "~"

// LabelsRequest is the request that [Labels] makes of an object.
func LabelsRequest(namespace string, labels map[string]string) Request {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return Request{Namespace: namespace, Name: labelsPrefix + strings.Join(parts, ",")}
}

// Labels are those that the request stands for; ok is false when it names an
// object.
func (r Request) Labels() (labels map[string]string, ok bool) {
	list, ok := strings.CutPrefix(r.Name, labelsPrefix)
	if !ok {
		return nil, false
	}
	labels = map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			labels[k] = v
		}
	}
	return labels, true
}

// What a Func map is called for, as Map.Arg; "" is every change.
const (
	OnlyAdded    = "added"
	OnlyDeleted  = "deleted"
	OnlyDeleting = "deleting"
	OnlyOwned    = "owned"
)

// Added calls fn for objects that appear, those that exist when the controller
// starts included.
func Added(fn func(object Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyAdded, Func: fn}
}

// Deleted calls fn with the last state of objects that are gone. A deletion
// while no controller runs is not seen: look for what is missing at Added too.
func Deleted(fn func(object Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyDeleted, Func: fn}
}

// Deleting calls fn for objects that are being deleted and wait for
// finalizers.
func Deleting(fn func(object Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyDeleting, Func: fn}
}

// Owned calls fn for objects that name owners: when they appear, and when their
// owners change.
func Owned(fn func(object Value) []Request) Map {
	return Map{Kind: MapFunc, Arg: OnlyOwned, Func: fn}
}

// Value is a read-only view of an object or a part of it; see [tape.Value].
type Value = tape.Value
