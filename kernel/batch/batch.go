// Package batch answers Batch objects (pintle.dev/v1alpha1): many writes of a client
// that happen all or not at all, at one revision. It reads the items, asks for each
// whether the client may, and has the registry write them in one transaction; what a
// write means, and admission for each, is the registry's.
//
// Begin at [Handler].
package batch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Config is what batches are answered with. All are required.
type Config struct {
	// Registry writes; it asks no authorizer.
	Registry func() registry.Access
	// Authorize returns Forbidden for what a client may not.
	Authorize func(context.Context, authorizer.Attributes) error
	Catalog   *resource.Catalog
	Codec     *resource.Codec
}

// Handler answers the creation of a Batch: with the batch and its status when all of it
// was written, or would be; else nothing was.
//
// # Errors
// The Status of the first item that is refused, whose causes name every one that is,
// by spec.items[i].
func Handler(c Config) registry.Virtual {
	return func(ctx context.Context, u user.Info, _ registry.Target, obj runtime.Object, o registry.WriteOptions) (runtime.Object, error) {
		in, ok := obj.(*v1alpha1.Batch)
		if !ok {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("expected a Batch, got a %T", obj))
		}
		items := field.NewPath("spec", "items")
		switch n := len(in.Spec.Items); {
		case n == 0:
			return nil, invalid(field.Required(items, "a batch has one item at least"))
		case n > v1alpha1.MaxBatchItems:
			return nil, invalid(field.TooMany(items, n, v1alpha1.MaxBatchItems))
		}
		b := &batch{c: c, user: u, o: o, in: in, writes: make([]write, len(in.Spec.Items))}
		return b.run(ctx)
	}
}

func invalid(err *field.Error) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: v1alpha1.Group, Kind: "Batch"}, "", field.ErrorList{err})
}

// batch is one on its way.
type batch struct {
	c      Config
	user   user.Info
	o      registry.WriteOptions
	in     *v1alpha1.Batch
	writes []write // of the items
}

// write is an item as the registry takes it.
type write struct {
	registry.BatchItem
	kind     schema.GroupVersionKind
	warnings []string
}

// what names an item for people.
func (w *write) what() string {
	t := w.Target
	gr := t.Resource.GroupResource().String()
	if t.Resource.Resource == "" { // it is not known
		gr = w.kind.GroupKind().String()
	}
	if t.Subresource != "" {
		gr += "/" + t.Subresource
	}
	name := t.Name
	if t.Namespace != "" {
		name = t.Namespace + "/" + name
	}
	return fmt.Sprintf("%s %s %q", w.Verb, gr, name)
}

func (b *batch) run(ctx context.Context) (runtime.Object, error) {
	errs := make([]error, len(b.writes))
	for i := range b.writes {
		if errs[i] = b.read(i); errs[i] == nil {
			errs[i] = b.allowed(ctx, &b.writes[i])
		}
	}
	if err := b.refused(ctx, errs); err != nil {
		return nil, err
	}
	items := make([]registry.BatchItem, len(b.writes))
	for i := range b.writes {
		items[i] = b.writes[i].BatchItem
	}
	results, err := b.c.Registry().As(b.user).Batch(ctx, items, true)
	if err != nil {
		return nil, err
	}
	for i := range results {
		errs[i] = results[i].Err
	}
	if err := b.refused(ctx, causes(errs)); err != nil {
		return nil, err
	}
	return b.answer(ctx, results)
}

// causes leaves the errors that others were aborted for.
func causes(errs []error) []error {
	out, some := make([]error, len(errs)), false
	for i, err := range errs {
		if !registry.IsAborted(err) {
			out[i], some = err, true
		}
	}
	if !some {
		return errs
	}
	return out
}

// allowed asks for the right to an item, as if it were a request by itself.
func (b *batch) allowed(ctx context.Context, w *write) error {
	ask := func(verb string) func(context.Context, registry.Target) error {
		return func(ctx context.Context, t registry.Target) error {
			if verb == "create" && t.Subresource == "" {
				t.Name = "" // the path of a creation has none
			}
			return b.c.Authorize(ctx, authorizer.AttributesRecord{User: b.user, Verb: verb, ResourceRequest: true, Namespace: t.Namespace, Name: t.Name,
				APIGroup: t.Resource.Group, APIVersion: t.Resource.Version, Resource: t.Resource.Resource, Subresource: t.Subresource})
		}
	}
	w.Options.MayCreate = ask("create")
	return ask(w.Verb)(ctx, w.Target)
}

// answer fills in the status of a batch that was written.
func (b *batch) answer(ctx context.Context, results []registry.BatchResult) (runtime.Object, error) {
	out := b.in.DeepCopyObject().(*v1alpha1.Batch)
	out.ManagedFields = nil
	out.Spec.Items = nil // the client has them, and objects are below
	out.Status.Items = make([]v1alpha1.BatchItemStatus, len(results))
	var revision int64
	for i, r := range results {
		st := &out.Status.Items[i]
		st.Code, st.Warnings = http.StatusOK, append(b.writes[i].warnings, r.Result.Warnings...)
		if r.Result.Created {
			st.Code = http.StatusCreated
		}
		revision = max(revision, r.Result.Revision)
		raw, err := b.encode(&b.writes[i], r.Result)
		if err != nil {
			return nil, apierrors.NewInternalError(fmt.Errorf("the batch was written, and item %d cannot be shown: %w", i, err))
		}
		st.Object = &runtime.RawExtension{Raw: raw}
		b.record(ctx, i, int(st.Code), "")
	}
	if !b.o.DryRun {
		out.ResourceVersion = strconv.FormatInt(revision, 10)
	}
	return out, nil
}

func (b *batch) encode(w *write, r *registry.Result) ([]byte, error) {
	if r.Answer != nil {
		return json.Marshal(r.Answer)
	}
	return b.c.Codec.Encode(r.Object.Obj, w.kind.GroupVersion(), resource.JSON)
}

// record tells the audit event of the request of an item: what was asked for, and how it
// ended. Objects are not shown, whatever the level.
func (b *batch) record(ctx context.Context, i, code int, message string) {
	text := fmt.Sprintf("%s: %d", b.writes[i].what(), code)
	if message != "" {
		text += " " + message
	}
	audit.AddAuditAnnotation(ctx, fmt.Sprintf("batch.pintle.dev/item-%d", i), text)
}

// refused makes one error of those of items; nil when there is none.
func (b *batch) refused(ctx context.Context, errs []error) error {
	var first *apierrors.StatusError
	for i, err := range errs {
		if err == nil {
			continue
		}
		st := statusOf(err)
		if first == nil {
			first = &apierrors.StatusError{ErrStatus: metav1.Status{Status: metav1.StatusFailure, Code: st.Code, Reason: st.Reason,
				Message: fmt.Sprintf("spec.items[%d] (%s): %s%s; %s", i, b.writes[i].what(), st.Message, b.remedy(&b.writes[i], st), outcome(st.Code)),
				Details: &metav1.StatusDetails{Group: v1alpha1.Group, Kind: "batches"}}}
			if st.Details != nil {
				first.ErrStatus.Details.RetryAfterSeconds = st.Details.RetryAfterSeconds
			}
		}
		first.ErrStatus.Details.Causes = append(first.ErrStatus.Details.Causes,
			metav1.StatusCause{Type: metav1.CauseType(st.Reason), Message: st.Message, Field: fmt.Sprintf("spec.items[%d]", i)})
		b.record(ctx, i, int(st.Code), string(st.Reason))
	}
	if first == nil {
		return nil
	}
	return first
}

// outcome is what a refused batch left: a store that failed may have written it.
func outcome(code int32) string {
	if code >= http.StatusInternalServerError {
		return "all of the batch was written or nothing"
	}
	return "nothing of the batch was written"
}

func statusOf(err error) metav1.Status {
	var s apierrors.APIStatus
	if errors.As(err, &s) {
		return s.Status()
	}
	return apierrors.NewInternalError(err).Status()
}

// remedy explains what a batch cannot do: an item is judged by what is there before it.
func (b *batch) remedy(w *write, st metav1.Status) string {
	if st.Code != http.StatusNotFound {
		return ""
	}
	for i := range b.in.Spec.Items {
		switch other := &b.writes[i]; {
		case other.Verb != "create" && other.Verb != "patch":
		case other.kind.Group == "" && other.kind.Kind == "Namespace" && other.Target.Name == w.Target.Namespace && w.Target.Namespace != "":
			return " (an item does not see what the others write: create the namespace before the batch)"
		case other.kind.Kind == "CustomResourceDefinition" && w.Target.Resource.Resource == "":
			return " (an item does not see what the others write: create the definition, and wait until it is established, before the batch)"
		}
	}
	return ""
}
