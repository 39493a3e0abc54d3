// Package resource says what a resource is: its names, its versions, how it is
// stored, and the hooks that give it meaning. It knows no built-in kind: those
// are listed in plugins/kinds and reach the kernel as the first [Table] of
// a [Catalog], to which producers add others while it runs.
//
// Everything here but the Catalog is a plain value; a Table may be read from
// any goroutine.
// RATIONALE.md: "Why is a kind a value in a table, and the table replaced?"
package resource

import (
	"context"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

// Definition describes one resource. The kernel holds every object in memory
// in one version, the storage version (the "hub"); other served versions are
// converted at the edge. It is not modified once it is in a table; to change a
// resource, its producer puts another Definition in its place.
type Definition struct {
	Group    string // "" for the core group
	Resource string // plural, lower case: "pods"
	Singular string
	Kind     string
	// ListKind is usually Kind + "List".
	ListKind   string
	ShortNames []string
	Categories []string
	Namespaced bool

	// Versions are the served versions, preferred first.
	Versions []string
	// StorageVersion is the version written to the store and held in memory.
	// It may be a version that is not served.
	StorageVersion string
	// KeyPrefix is upstream's etcd prefix of this resource, without a
	// trailing slash, e.g. "/registry/pods" or "/registry/services/specs".
	// A virtual resource has none.
	KeyPrefix string
	// StoredAs is set when this resource is a second name for the objects of
	// another one (events.k8s.io/events for the core group's events): same keys,
	// same hub, same cache. Only the version at the edge differs; Codec.Convert
	// and Codec.Encode cross the groups.
	StoredAs *schema.GroupResource
	// Deprecations are warnings to who asks for a version, by version. Those of Go
	// types come with the types.
	Deprecations map[string]string
	// Verbs as discovery shows them, in upstream's order. A request with any
	// other verb is refused.
	Verbs []string
	// ShownVerbs are those of discovery, where it tells less than is served.
	ShownVerbs []string
	// Unserved says why Verbs, here and of the subresources, lacks what
	// upstream serves. Who asks for such a verb is told so.
	Unserved string

	// NeedsImplementer: an object says what somebody is to bring about, a
	// controller, a policy, an agent or a part of the server. Whoever creates one
	// while none of these is there is warned. Objects of other kinds are data, or
	// the kind's own hooks do all there is to do; of a custom kind nobody here
	// knows who acts on it.
	NeedsImplementer bool

	// Initial makes objects that every cluster has: a server that starts creates
	// those that are missing, and changes none. Nil: none.
	Initial func() []runtime.Object

	// Types make and convert the objects; nil: the table's Scheme. The objects of
	// other types are unstructured and JSONStored.
	Types Types
	// JSONStored keeps the objects as JSON in the store: they have no protobuf
	// form.
	JSONStored bool
	// Columns and TypeConverter are the table's when nil, or if there are Types,
	// what can be told of any object.
	Columns       Columns
	TypeConverter managedfields.TypeConverter
	// VersionColumns are Columns that differ by the version that is asked for.
	VersionColumns func(version string) Columns
	// Schema describes the objects of a served version for OpenAPI v3, or for v2,
	// which knows less; apiVersion, kind and metadata may be left out. It is
	// called when a client asks, and what it returns is not kept. Nil: the
	// table's OpenAPI, or if there are Types, any object.
	Schema func(version string, v2 bool) *spec.Schema
	// SchemaID names what Schema says: two definitions of a resource with the
	// same one, on whatever server, have the same schemas. A hash of them, or uid
	// and generation of the object that they come from. "": the schemas have no
	// name, and every change of the API makes their documents in full to find
	// out.
	SchemaID string

	Strategy     Strategy
	Subresources []Subresource

	// Virtual is a resource that is answered and never stored: a question that is
	// created (TokenReview, SubjectAccessReview, Binding …), or objects that are
	// made when they are read (ComponentStatus). The kernel package that owns the
	// subject answers; of a question it is told who asks.
	Virtual bool
	// Runs makes a virtual resource an action of another one, on the object that
	// the body names (bindings, of pods).
	Runs *Run
}

// Run names an action subresource.
type Run struct {
	Resource    schema.GroupVersionResource
	Subresource string
}

// GroupResource names the resource without a version.
func (d *Definition) GroupResource() schema.GroupResource {
	return schema.GroupResource{Group: d.Group, Resource: d.Resource}
}

// Discovered are the verbs that discovery tells of.
func (d *Definition) Discovered() []string {
	if d.ShownVerbs != nil {
		return d.ShownVerbs
	}
	return d.Verbs
}

// Hub is the kind and version held in memory and in the store.
func (d *Definition) Hub() schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: d.Stored().Group, Version: d.StorageVersion, Kind: d.Kind}
}

// Stored names the resource whose objects these are: StoredAs, or itself.
func (d *Definition) Stored() schema.GroupResource {
	if d.StoredAs != nil {
		return *d.StoredAs
	}
	return d.GroupResource()
}

// Subresource looks a subresource up by name; nil when there is none.
func (d *Definition) Subresource(name string) *Subresource {
	for i := range d.Subresources {
		if d.Subresources[i].Name == name {
			return &d.Subresources[i]
		}
	}
	return nil
}

// In tells whether a version of the resource has the subresource.
func (s *Subresource) In(version string) bool {
	return s.Versions == nil || slices.Contains(s.Versions, version)
}

// Strategy is what a kind adds to the generic verbs. Every object passed in
// and out is of the hub version. A nil hook does nothing. Hooks may change obj
// in place and must not keep it; they must never change old, which is shared
// with the cache.
type Strategy struct {
	// PrepareForCreate resets what a client may not set (status, generation).
	PrepareForCreate func(ctx context.Context, obj runtime.Object)
	// Requested notes in a new object who asks for it, as a certificate signing
	// request does. It is called before PrepareForCreate, and copies what it keeps
	// of u.
	Requested func(obj runtime.Object, u user.Info)
	// Received completes an object that a client sent, as upstream's internal
	// version does, before it is noted who owns which of its fields. It is called
	// once for each such object, whose defaults are set.
	Received func(obj runtime.Object)
	// PrepareForUpdate restores what a client may not change through the main
	// resource and raises metadata.generation when the spec differs.
	PrepareForUpdate func(ctx context.Context, obj, old runtime.Object)
	Validate         func(ctx context.Context, obj runtime.Object) field.ErrorList
	ValidateUpdate   func(ctx context.Context, obj, old runtime.Object) field.ErrorList
	// Warnings go to the client as HTTP warning headers. old is nil on create.
	Warnings func(ctx context.Context, obj, old runtime.Object) []string
	// Decoded completes an object that was read from the store: what its
	// stored form leaves out, or what an older server did not write yet.
	Decoded func(obj runtime.Object)
	// ResetFields takes what a write through the object's own path does not
	// store out of the fields that the writer comes to own. Nil: the status, if
	// there is a status subresource.
	ResetFields fieldpath.Filter
	// Canonicalize brings equal objects to one form after validation.
	Canonicalize func(obj runtime.Object)

	// AllowCreateOnUpdate lets PUT create the object (leases, for example).
	AllowCreateOnUpdate bool
	// AllowUnconditionalUpdate accepts an update without a resourceVersion.
	AllowUnconditionalUpdate bool

	// GracePeriod decides a deletion: the seconds to grant and whether the
	// object stays until its agent confirms (graceful). Nil: deleted at once.
	GracePeriod func(obj runtime.Object, opts *metav1.DeleteOptions) (seconds int64, graceful bool)
	// PrepareForDelete may change the object as it is first marked for deletion
	// (a Namespace's phase).
	PrepareForDelete func(ctx context.Context, obj runtime.Object)
	// Held says that an object marked for deletion must stay even without
	// metadata.finalizers (a Namespace with spec.finalizers).
	Held func(obj runtime.Object) bool
	// ReturnDeleted answers a DELETE that removed the object with the object
	// instead of a Status, as upstream does for some kinds (pods, services).
	ReturnDeleted bool
	// NotCollected: the kind takes no part in garbage collection. A client's
	// wish about dependents has no effect, since nobody would carry it out.
	NotCollected bool
	// Uncached: upstream reads objects of the kind from etcd and not from a cache
	// (events). Its clients see by that how a get at a malformed resourceVersion is
	// refused: as a bad request.
	Uncached bool
	// DefaultPropagation answers what happens to dependents when the client
	// does not say; nil means background.
	DefaultPropagation func(obj runtime.Object) metav1.DeletionPropagation
	// DeletionWarning goes to a client that deletes without a wish about
	// dependents. Empty: nothing needs saying.
	DeletionWarning string

	// Fields are the object's selectable fields beyond metadata.name and
	// metadata.namespace. FieldLabels lists their names.
	Fields      func(obj runtime.Object) fields.Set
	FieldLabels []string

	// Companions are objects of other kinds written in the same transaction:
	// a Service's IPAddress, for example. It may change obj (fill in the
	// address). old is nil on create; obj is nil on delete. It is called again
	// when a companion's precondition fails, at most a few times.
	Companions func(ctx context.Context, r Reader, obj, old runtime.Object) ([]Companion, error)
}

// Companion is one object written together with its principal.
type Companion struct {
	Resource  schema.GroupResource
	Namespace string
	Name      string
	// Object of the hub version to create; nil deletes the named object.
	Object runtime.Object
	// Old is the state that a deletion follows, as the [Reader] gave it; nil: there
	// was none, and nothing is done. The write is made only if the store says so
	// too: what is to go with an object goes, however far the cache is behind.
	Old runtime.Object
	// Update replaces an existing object at the resourceVersion that Object
	// carries instead of creating a new one.
	Update bool
	// Keep leaves the object as Old is, or absent: the write is made only if it is
	// so still.
	Keep bool
}

// Reader reads objects of the hub version from the kernel's cache. What it
// returns is shared: the caller must not modify it.
type Reader interface {
	// Get returns an apierrors NotFound when there is none.
	Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error)
	// List returns the objects of a namespace, of all with "".
	List(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error)
}

// Subresource is a path below an object. Exactly one of the groups of hooks
// below is set, by Style.
type Subresource struct {
	Name  string
	Style Style
	// Versions of the resource that have the subresource; nil: all.
	Versions []string
	// Kind as discovery shows it; zero for the parent's kind.
	Kind  schema.GroupVersionKind
	Verbs []string
	// Accepts are further kinds that the body of an action may be of; they are
	// converted to Kind.
	Accepts []schema.GroupVersionKind

	// StyleStatus and StylePart: like the main resource's hooks, but for an
	// update through this path. PrepareForUpdate keeps everything of old that
	// this path may not change.
	PrepareForUpdate func(ctx context.Context, obj, old runtime.Object)
	ValidateUpdate   func(ctx context.Context, obj, old runtime.Object) field.ErrorList
	// ResetFields is Strategy.ResetFields for writes through this path: whatever
	// PrepareForUpdate keeps of old. Nil: the spec, if this is the status.
	ResetFields fieldpath.Filter

	// StyleProjection (scale): another kind computed from the object and
	// written back into it. Objects of Kind, not of the hub. Get may return an
	// *UnsetError beside its answer.
	Get func(ctx context.Context, obj runtime.Object) (runtime.Object, error)
	Set func(ctx context.Context, obj, sub runtime.Object) error
	// ReplicasPaths are the fields that a Scale stands for, by version; nil:
	// spec.replicas in all. Versions that are missing have none.
	ReplicasPaths map[string]fieldpath.Path

	// StyleAction (binding, eviction, token): POST of body changes obj in
	// place; old is nil. The answer is returned to the client; nil answers a
	// Status "Success"; a *metav1.DeleteOptions goes on to delete the changed
	// object with these options in the same write (eviction). A nil Action is served by the kernel package that
	// owns the subject (token: kernel/auth).
	Action func(ctx context.Context, obj, body runtime.Object) (answer runtime.Object, err error)
	// Companions of an action are called after Action and before the write,
	// with the object that Action changed: objects of other kinds to write in
	// the same transaction, or an error that refuses the action. An eviction
	// spends its PodDisruptionBudget here.
	Companions func(ctx context.Context, r Reader, obj, body runtime.Object) ([]Companion, error)

	// StyleConnect (log, exec, attach, portforward, proxy): the request goes
	// on to where the object lives. For proxy, the name in the URL may be
	// "name:port" or "scheme:name:port": the caller splits it to find obj and
	// hands scheme and port over with [WithProxyPort]. A nil Target: there is
	// nothing yet, which is answered with 204.
	Connect func(ctx context.Context, r Reader, obj runtime.Object, path string, query map[string][]string) (*Target, error)
	// Absent is the answer when there is no object of that name; nil: NotFound.
	Absent func(ctx context.Context, name string) error
	// Options of a connect request, of Kind, are what admission rules are asked
	// about. Nil: the request reads only (log), and nobody is asked.
	Options func(path string, query map[string][]string) (runtime.Object, error)
}

// UnsetError comes from the Get of a projection, beside the projection, when the
// object lacks what it shows: it cannot be read, but written.
type UnsetError struct{ Message string }

func (e *UnsetError) Error() string { return e.Message }

// Style says how a subresource is served.
type Style int

// The styles of subresources.
const (
	StyleStatus     Style = iota // GET, PUT, PATCH of the same kind, status only
	StylePart                    // the same for another part (ephemeralcontainers, resize, approval, finalize)
	StyleProjection              // GET, PUT, PATCH of another kind (scale)
	StyleAction                  // POST that changes the object (binding, eviction, token)
	StyleConnect                 // proxied to the node (log, exec, attach, portforward, proxy)
)

// Target is where a connect request goes on: an HTTPS URL of a node agent, or
// plain http for pod and service proxies.
type Target struct {
	Scheme string // "https" or "http"
	Host   string // host:port
	Path   string
	Query  map[string][]string
	// Node names the node whose serving certificate is expected ("" for none).
	Node string
	// Upgrade is true for streams (exec, attach, portforward).
	Upgrade bool
}
