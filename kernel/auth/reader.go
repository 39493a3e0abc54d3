package auth

import (
	"context"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/resource"
)

// LateReader is a reader that is known only when it is used. The registry's
// reader is one: the registry is made with handlers that read.
type LateReader func() resource.Reader

// Get implements resource.Reader.
func (f LateReader) Get(ctx context.Context, gr schema.GroupResource, namespace, name string) (runtime.Object, error) {
	return f().Get(ctx, gr, namespace, name)
}

// List implements resource.Reader.
func (f LateReader) List(ctx context.Context, gr schema.GroupResource, namespace string) ([]runtime.Object, error) {
	return f().List(ctx, gr, namespace)
}

var _ resource.Reader = LateReader(nil)
