// Package registry is the only writer of objects. It serves the verbs of
// every resource alike (get, list, watch, create, update, patch, apply,
// delete, batch), whoever calls: the HTTP edge, plugins through their host, or
// a component in this process. Admission and validation stand in between; authorization does not:
// callers check it before (kernel/auth).
//
// Nobody asks as nobody: the verbs are had only from [Core.As], so that admission
// rules and hooks always know who asks (RATIONALE.md, "Why is an identity a
// value?").
//
// Objects that go in may be of any registered version; objects that come out
// are of the hub version, shared with the cache and immutable.
// RATIONALE.md: "Why does nobody else write the store?"
package registry

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry/transaction"
	"github.com/pintle-io/pintle/kernel/registry/view"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Target names what a request is about.
type Target struct {
	Resource    schema.GroupVersionResource // Version is the request's, for managedFields and conversion
	Namespace   string                      // "" for cluster scoped, or all namespaces (list, watch)
	Name        string
	Subresource string
}

// WriteOptions are the options that the writing verbs share.
type WriteOptions struct {
	DryRun          bool
	FieldManager    string
	FieldValidation string // metav1.FieldValidationStrict, Warn or Ignore; "" is Warn at the edge
	Force           bool   // apply only
	// MayCreate is asked before an update or an apply creates the object that it did
	// not find; its error is the answer. Whoever lets requests in by rights sets it:
	// the right to update or to patch is not the right to create. Nil allows nobody.
	MayCreate func(ctx context.Context, t Target) error
}

// Result is what a writing verb answers.
type Result = transaction.Result

// List is the answer of a list: a consistent view at one revision.
type List = view.List

// Watcher delivers events of a watch. Events of one watcher are read by one
// goroutine.
type Watcher interface {
	// Events closes when the watch ends. A selector's view is already applied:
	// an object that leaves the selection arrives as Deleted.
	Events() <-chan watch.Event
	// Err says why Events closed: nil after Stop or ctx, an apierrors Gone or
	// "too slow" otherwise.
	Err() error
	Stop()
}

// Registry serves the verbs. Every method returns errors that are
// k8s.io/apimachinery/pkg/api/errors Status errors wherever a client caused
// them. Whose requests they are was said when it was made ([Access]). It is safe
// for concurrent use.
type Registry interface {
	Get(ctx context.Context, t Target, o metav1.GetOptions) (*watch.Object, error)
	// GetProjection reads a projected subresource (scale).
	GetProjection(ctx context.Context, t Target, o metav1.GetOptions) (runtime.Object, error)
	List(ctx context.Context, t Target, o metav1.ListOptions) (*List, error)
	// Watch tells of every change after o.ResourceVersion in order, none left
	// out. When that is the revision of several events that the selector sees,
	// all of these come again: a client may have read only some of them.
	Watch(ctx context.Context, t Target, o metav1.ListOptions) (Watcher, error)

	// Create stores a new object, or runs an action subresource (binding,
	// eviction) when t.Subresource is set.
	Create(ctx context.Context, t Target, obj runtime.Object, o WriteOptions) (*Result, error)
	Update(ctx context.Context, t Target, obj runtime.Object, o WriteOptions) (*Result, error)
	// Patch applies a JSON, merge, strategic merge or apply patch. Conflicts
	// with other writers are retried inside unless the patch itself carries a
	// resourceVersion.
	Patch(ctx context.Context, t Target, pt types.PatchType, patch []byte, o WriteOptions) (*Result, error)
	Delete(ctx context.Context, t Target, o metav1.DeleteOptions) (*Result, error)
	// DeleteCollection deletes what a list with these options finds, and answers
	// that list: with a limit one page, whose token continues the deletion.
	DeleteCollection(ctx context.Context, t Target, o metav1.DeleteOptions, list metav1.ListOptions) (*List, error)
	// Batch runs many writes. Each is validated and admitted by itself; those
	// that pass are committed together in as few transactions as the store
	// allows (store.MaxOps), each transaction atomic, and the last by itself, so
	// that the revision afterwards is of one object. One failed item does not
	// fail the others unless atomic is set: then all are written or none, in
	// one transaction. Results and errors are in the order of items.
	Batch(ctx context.Context, items []BatchItem, atomic bool) ([]BatchResult, error)
}

// BatchItem is one write of a Batch.
type BatchItem struct {
	Verb      string // "create", "update", "patch", "delete"; "create" with Target.Subresource for actions (binding)
	Target    Target
	Object    runtime.Object       // create, update
	PatchType types.PatchType      // patch
	Patch     []byte               // patch
	Delete    metav1.DeleteOptions // delete
	Options   WriteOptions
}

// BatchResult is the answer to one BatchItem.
type BatchResult = transaction.BatchResult
