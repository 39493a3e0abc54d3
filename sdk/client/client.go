package client

import (
	"time"

	autoscalingv1 "github.com/pintle-io/pintle/sdk/api/autoscaling/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Object is a pointer to a struct with JSON tags that names its resource. The
// light types of sdk/api are; an author's own subset needs one method:
//
//	type Widget struct {
//		Metadata metav1.ObjectMeta `json:"metadata"`
//		Spec     WidgetSpec        `json:"spec"`
//	}
//	func (*Widget) APIResource() string { return "example.com/v1/widgets" }
//
// apiVersion and kind are filled in by the kernel.
type Object interface {
	// APIResource is "group/version/plural", "v1/pods" for the core group.
	APIResource() string
}

// Encoded is an [Object] that has its JSON at hand, for many alike.
type Encoded interface {
	// EncodedJSON is what is sent to create or update the object.
	EncodedJSON() []byte
}

// Client reads and writes objects under the plugin's own identity; the kernel
// checks its permissions. Reads come from the kernel's cache and see the
// plugin's own writes. A Client is used by one goroutine at a time.
//
// # Errors
//   - [IsNotFound], [IsAlreadyExists], [IsConflict], [IsInvalid] and
//     [IsForbidden] tell the API's errors apart
type Client interface {
	// Get reads an object into obj, which the caller owns.
	Get(obj Object, namespace, name string) error
	// List fills list, a *[]*T whose *T is an [Object], in order of namespace/name
	// as one text ("a-b/x" comes before "a/x"). The objects are kept and shared between calls, so that
	// unchanged ones are not decoded again: the caller must not modify them
	// ([Clone] makes a copy to modify). The slice belongs to the caller.
	List(list any, o ListOptions) error
	// Create stores obj and updates it with what was stored.
	Create(obj Object) error
	// Update replaces the object. With a resourceVersion it fails with a
	// conflict when the object has changed.
	Update(obj Object) error
	// UpdateStatus replaces the object's status and nothing else.
	UpdateStatus(obj Object) error
	// Patch changes the object that obj names (namespace and name) and updates
	// obj with the result.
	Patch(obj Object, p Patch) error
	// Apply is server-side apply of the fields set in obj, with the plugin as
	// field manager. force takes over fields that others own.
	Apply(obj Object, force bool) error
	// GetScale reads the scale subresource of an object of whatever kind has one,
	// custom kinds included: how many replicas it is to have and has, and the selector
	// of its pods. The resource is written as by [Object], or [ByKind] of what a
	// reference names. It takes the permission to get "deployments/scale", or
	// "*/scale" in all groups for references to any kind; none for the object.
	//
	// # Errors
	//   - [IsUnsupported]: there is no such kind, or it has no scale
	//   - [IsNotFound]: there is no such object (of a resource that is named by its
	//     plural: or no such resource)
	GetScale(resource, namespace, name string) (*autoscalingv1.Scale, error)
	// UpdateScale sets the object's replicas to s.Spec.Replicas, and updates s with
	// the result; s names the object. With a resourceVersion it fails with a conflict
	// when the object has changed. It takes the permission to update the subresource.
	//
	// # Errors
	//   - those of GetScale
	//   - [IsConflict], [IsInvalid]
	UpdateScale(resource string, s *autoscalingv1.Scale) error
	// CreateSubresource does what a subresource does when something is posted to it: a
	// token of a service account ("v1/serviceaccounts", "token"), an eviction or a binding of
	// a pod ("v1/pods", "eviction"). The resource is written as by [Object], or [ByKind];
	// namespace and name of body are those of the object. What is answered is decoded into
	// the struct that answer points to, by JSON tags, which may be body; nil: nobody looks at
	// it. It takes the permission to create the subresource ("serviceaccounts/token").
	//
	// # Errors
	//   - [IsNotFound]: there is no such object, or nothing that body refers to
	//   - [IsUnsupported]: the resource has no such subresource to post to
	//   - [IsConflict], [IsInvalid], [IsForbidden] and what else the subresource says
	CreateSubresource(resource, subresource string, body metav1.Accessor, answer any) error
	// Fetch asks the API for what it serves and does not keep, and decodes the answer,
	// an object or a list with its items, into the struct that into points to, by
	// JSON tags. It is for what other servers have (APIService objects lead to them:
	// custom.metrics.k8s.io) and for what is computed when it is asked for
	// (metrics.k8s.io); what is stored is read by Get and List, which cost next to
	// nothing. It takes the permission for the verb get, or list without a name.
	// Whoever answers is told the plugin's identity, and may refuse it.
	//
	// It waits for somebody else: 10 seconds at most, and never longer than half of
	// what is left of the call's time. An answer has 8 MiB at most.
	//
	// # Errors
	//   - [IsUnsupported]: nobody serves the group version
	//   - [IsUnavailable]: who serves it did not answer, or not in time
	//   - [IsNotFound], [IsForbidden] and what else the answer says
	Fetch(into any, f FetchOptions) error
	// ResourceOf is the resource of a kind, as [Object] writes it, in the version
	// that the API prefers: what a RESTMapper is for. It takes no permission.
	//
	// # Errors
	//   - [IsUnsupported]: there is no such kind
	ResourceOf(apiVersion, kind string) (string, error)
	Delete(obj Object, o DeleteOptions) error
	// Batch runs many writes in as few transactions as possible. Each op
	// succeeds or fails by itself and has its error at the same index, unless
	// atomic is set: then all are written or none. The error returned is of
	// the batch as a whole. Created and updated objects are updated in place.
	Batch(ops []Op, atomic bool) ([]error, error)
	// Event records an event about an object; repeated ones are counted.
	// It does not wait and cannot fail.
	Event(about Object, n Note)
	// Now is what time it was for the server when it handed out the request: the same
	// for as long as Reconcile runs, and by the clock that RequeueAfter is counted by.
	// A controller that decides by time asks it and not time.Now, so that tests can
	// set the clock. For policies, and of a server before ABI 2.4, it is this
	// machine's clock.
	Now() time.Time
}

// Reader reads objects for a policy from the kernel's cache. What the cache
// does not hold is looked for in the store before it is said to be missing.
type Reader interface {
	// Get reads an object into obj. The fields are the caller's, what they refer
	// to is shared with later reads: it must not be modified.
	//
	// # Errors
	//   - [IsNotFound]
	//   - [IsForbidden]: spec.permissions of the Plugin lacks the verb get
	Get(obj Object, namespace, name string) error
	// List fills list, a *[]*T whose *T is an [Object], as [Client.List] does,
	// narrowed by Namespace and Labels only. What has not changed since the last
	// call costs next to nothing, so it is for resources of which there are few. Of others
	// it takes a Limit: no list is longer than 10,000 objects, and none without a Limit is
	// cut short.
	//
	// # Errors
	//   - there are more objects than that, and no Limit is set
	//   - [IsForbidden]: spec.permissions of the Plugin lacks the verb list
	List(list any, o ListOptions) error
}

// ListOptions narrow a list. The zero value lists everything that the plugin
// may see.
type ListOptions struct {
	// Resource instead of the one that the element type names, for types that
	// stand for any kind (metadata only, for example). [AllResources] lists the
	// metadata of objects of every resource, which takes the permission for all
	// groups and resources; with a Namespace, of those in namespaces. An item has then apiVersion, kind,
	// metadata and "resource", its name as a Resource; Fields may be
	// "namespaced=true" or "collected=true" (takes part in garbage collection).
	Resource  string
	Namespace string // "" for all
	Labels    string // a label selector as kubectl -l takes it
	Fields    string // a field selector: "spec.nodeName=a"
	Owner     Owner  // only dependents: [OwnedBy] or [NoController]
	// By are only the objects that have a value at a path, from an index that the server
	// keeps from the first such question on: what it costs follows the answer, not the
	// resource. Not together with Fields, Owner or Fresh. A server of an ABI before 2.4
	// does not know it.
	By Index
	// Limit is how many objects are listed at most, the first in the order of
	// List; 0 is no limit. Remaining, unless it is nil, is then set to how many more there
	// are: a list that was cut short is told from one that is whole.
	Limit     int
	Remaining *int
	// Fresh is a list as new as every write that finished before the call, by whichever
	// server: for what must not be done because a cache is behind. It asks the store, and
	// fails when that does not answer. Not by Owner, nor By an index; what is listed by these
	// afterwards, of the same resource, is no older either. A server of an ABI before 2.4
	// does not know it.
	Fresh bool
}

// FetchOptions say what is fetched.
type FetchOptions struct {
	// Resource as by [Object]: "metrics.k8s.io/v1beta1/pods".
	Resource  string
	Namespace string
	Name      string // "" for a list
	// Subresource of the named one, as a metric is in custom.metrics.k8s.io.
	Subresource string
	Labels      string // a label selector as kubectl -l takes it
	// Params are further parameters of the query, at most 16.
	Params map[string]string
}

// Index narrows a list to the objects that have Value, a text that is not empty, at Path,
// which is written as in [admission.MatchRule]; where the path leads through a list, any
// element may have it: "spec.volumes.persistentVolumeClaim.claimName". The path is one of
// the version in which the resource is stored. The zero value does not narrow. There are
// 64 indexes in a server, of all plugins together.
type Index struct{ Path, Value string }

// Owner narrows a list to dependents; the zero value does not.
type Owner = wire.Owner

// OwnedBy are the objects that name the uid among their owners. None does when
// it is "", as that of an object that was never stored.
func OwnedBy(uid string) Owner { return Owner{Kind: wire.OwnerUID, UID: uid} }

// NoController are the objects without a controlling owner.
func NoController() Owner { return Owner{Kind: wire.NoController} }

// InAnyVersion names a resource by its group and plural, in the version that the API
// prefers: for who is told of resources without versions, as a GroupResource does.
// [IsNotFound] tells that there is no such resource.
func InAnyVersion(group, plural string) string { return group + "//" + plural }

// AllResources, as ListOptions.Resource, stands for all of them.
const AllResources = wire.AllResources

// ByKind names a resource by the kind of its objects, as owner references do;
// the version may be any. Of a kind that is not namespaced, a namespace is
// ignored; [IsUnsupported] tells that there is no such kind, or that its objects
// are namespaced and one is asked for without a namespace. A list without one is of all
// namespaces.
func ByKind(apiVersion, kind string) string { return apiVersion + wire.KindMark + kind }

// PatchType is the format of a patch.
type PatchType string

// The patch types, by their media types.
const (
	MergePatch     PatchType = "application/merge-patch+json"
	JSONPatch      PatchType = "application/json-patch+json"
	StrategicPatch PatchType = "application/strategic-merge-patch+json"
)

// Patch is a change to an object.
type Patch struct {
	Type PatchType // "" is MergePatch
	// Data is marshalled to JSON; []byte and json.RawMessage are sent as is.
	Data        any
	Subresource string // "status", or "" for the object itself
}

// DeleteOptions are the options of a deletion.
type DeleteOptions struct {
	// Preconditions must hold; nil asks for nothing.
	Preconditions *Preconditions
	// GracePeriodSeconds; nil is the kind's default.
	GracePeriodSeconds *int64
	// Propagation is "Background", "Foreground" or "Orphan"; "" is the kind's
	// default.
	Propagation string
}

// Preconditions must hold for an object to be deleted, or it is a conflict. A
// uid of "", as that of an object that was never stored, holds for none.
type Preconditions struct {
	UID             *string // nil: of any
	ResourceVersion *string // nil: of any
}

// NewUIDPreconditions asks for the object of this uid, and not another one of
// the same name.
func NewUIDPreconditions(uid string) *Preconditions { return &Preconditions{UID: &uid} }

// Op is one write of a batch.
type Op struct {
	Verb   Verb
	Object Object
	// Subresource is "status" to update the status, "" otherwise.
	Subresource string
	Delete      DeleteOptions
	// Patch is what VerbPatch changes; the subresource is the one that it names.
	Patch Patch
	// Brief leaves Object as it is after the write, but for the name, uid and
	// resourceVersion of its metadata: cheaper for many objects.
	Brief bool
}

// Verb is what an [Op] does.
type Verb string

// The verbs of a batch.
const (
	VerbCreate Verb = "create"
	VerbUpdate Verb = "update"
	VerbDelete Verb = "delete"
	VerbPatch  Verb = "patch"
)

// Note is what an event says about an object; kubectl describe shows it.
type Note struct {
	Warning bool   // type Warning instead of Normal
	Reason  string // short, CamelCase: "ScalingReplicaSet"
	Message string
}
