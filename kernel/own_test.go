package kernel

import (
	"context"
	"errors"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/watch"
)

// rival answers a creation with an error, before which somebody else has made the
// object, or nobody has.
type rival struct {
	registry.Registry
	refusal error
	there   bool
}

func (r *rival) Get(_ context.Context, t registry.Target, _ metav1.GetOptions) (*watch.Object, error) {
	if r.there {
		return &watch.Object{}, nil
	}
	return nil, apierrors.NewNotFound(t.Resource.GroupResource(), t.Name)
}

func (r *rival) Create(context.Context, registry.Target, runtime.Object, registry.WriteOptions) (*registry.Result, error) {
	r.there = r.there || errors.Is(r.refusal, errTaken)
	return nil, r.refusal
}

var errTaken = errors.New("provided IP is already allocated")

// TestEnsureBesideAnotherServer: servers that begin together make the same objects, and
// what only one can have is refused in other words than that the object exists.
func TestEnsureBesideAnotherServer(t *testing.T) {
	for _, tc := range []struct {
		refusal error
		ok      bool
	}{
		{errTaken, true},
		{apierrors.NewAlreadyExists(schema.GroupResource{Resource: "services"}, "kubernetes"), true},
		{errors.New("the store is away"), false},
	} {
		w := ownWrites{&rival{refusal: tc.refusal}}
		err := w.ensure(t.Context(), services, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "kubernetes"}}, metav1.GetOptions{})
		if (err == nil) != tc.ok || !tc.ok && !errors.Is(err, tc.refusal) {
			t.Errorf("%v: %v", tc.refusal, err)
		}
	}
}
