package dynamic

import (
	"context"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	upstream "k8s.io/apiserver/pkg/admission"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/warning"

	"github.com/pintle-io/pintle/kernel/admission"
)

// Request is a request as upstream's libraries see it. Its objects have their
// apiVersion and kind set; they are shared with the request that it was made of.
type Request struct {
	upstream.Attributes
	ctx context.Context // of the request, whose audit event is annotated
	of  *admission.Attributes
}

// Request shows a request to upstream's libraries.
func (k *Kinds) Request(ctx context.Context, a *admission.Attributes) (*Request, error) {
	own := k.kindIn(a)
	obj, err := k.named(a.Object, own)
	if err != nil {
		return nil, err
	}
	old, err := k.named(a.Old, own)
	if err != nil {
		return nil, err
	}
	options := a.Options
	if del, ok := options.(*metav1.DeleteOptions); ok { // clients write v1
		named := *del
		named.APIVersion, named.Kind = "meta.k8s.io/v1", "DeleteOptions"
		options = &named
	}
	namespace := a.Namespace
	if a.Resource.Group == "" && a.Resource.Resource == "namespaces" {
		namespace = a.Name // as upstream has it
	}
	rec := upstream.NewAttributesRecord(obj, old, a.Kind, namespace, a.Name, a.Resource, a.Subresource, upstream.Operation(a.Operation), options, a.DryRun, a.User)
	return &Request{Attributes: rec, ctx: ctx, of: a}, nil
}

// kindIn is the kind that the objects of a request are of in this process.
func (k *Kinds) kindIn(a *admission.Attributes) schema.GroupVersionKind {
	d := k.Catalog.Lookup(a.Resource.GroupResource())
	if d == nil {
		return a.Kind
	}
	if sub := d.Subresource(a.Subresource); sub != nil && !sub.Kind.Empty() {
		return sub.Kind
	}
	return d.Hub()
}

// named is an object with apiVersion and kind set; a copy of its own struct if they
// were not.
func (k *Kinds) named(obj runtime.Object, as schema.GroupVersionKind) (runtime.Object, error) {
	if obj == nil {
		return nil, nil
	}
	if !obj.GetObjectKind().GroupVersionKind().Empty() {
		return obj, nil
	}
	out, err := k.Codec.Versioned(obj, as.GroupVersion())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", as.Kind, err)
	}
	return out, nil
}

// AddAnnotation implements upstream's Attributes. The format is checked there.
func (r *Request) AddAnnotation(key, value string) error {
	return r.AddAnnotationWithLevel(key, value, auditinternal.LevelMetadata)
}

// AddAnnotationWithLevel implements upstream's Attributes: it is for the audit events
// that are of this level, or deeper. Several goroutines may call it.
func (r *Request) AddAnnotationWithLevel(key, value string, level auditinternal.Level) error {
	if err := r.Attributes.AddAnnotationWithLevel(key, value, level); err != nil {
		return err
	}
	if event := audit.AuditContextFrom(r.ctx); event != nil && event.GetEventLevel().GreaterOrEqual(level) {
		audit.AddAuditAnnotation(r.ctx, key, value)
	}
	return nil
}

// GetReinvocationContext implements upstream's Attributes: what rules remember
// outlives this Request.
func (r *Request) GetReinvocationContext() upstream.ReinvocationContext { return r.of.Reinvocation() }

// WithWarnings lets upstream's libraries warn the client of a request.
func WithWarnings(ctx context.Context, a *admission.Attributes) context.Context {
	return warning.WithWarningRecorder(ctx, &recorder{of: a})
}

// recorder may be called by several goroutines, unlike what it calls.
type recorder struct {
	mu sync.Mutex
	of *admission.Attributes
}

func (r *recorder) AddWarning(_, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.of.Warn(text)
}

var _ upstream.Attributes = (*Request)(nil)

// Answer brings the outcome of upstream's code to what the chain takes: an answer for
// the client, or the end of the request's own time.
func Answer(ctx context.Context, err error) error {
	switch err.(type) { //nolint:errorlint // upstream's answers are not wrapped
	case nil, apierrors.APIStatus:
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return apierrors.NewInternalError(err)
}
