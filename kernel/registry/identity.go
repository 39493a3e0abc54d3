package registry

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/kernel/watch"
)

// Access gives the verbs to an identity. *Core is one; so is whatever asks an
// authorizer first (kernel/auth).
type Access interface {
	// As is the registry as u sees it: admission rules, hooks of kinds and actions
	// learn that u asks. It is a cheap value, made for each request. A nil u, or
	// one without a name, is nobody: every verb answers Forbidden.
	As(u user.Info) Registry
}

// As implements [Access]. It is the only way to the verbs.
func (c *Core) As(u user.Info) Registry {
	if u == nil || u.GetName() == "" {
		return nobody{}
	}
	return caller{c, u}
}

// caller is the verbs of one identity.
type caller struct {
	core *Core
	user user.Info
}

// nobody is refused: who forgets to say who he is gets nothing by it.
type nobody struct{}

var errNobody = errors.New("no user on the request")

func refuse(t Target) error {
	return apierrors.NewForbidden(t.Resource.GroupResource(), t.Name, errNobody)
}

func (nobody) Get(_ context.Context, t Target, _ metav1.GetOptions) (*watch.Object, error) {
	return nil, refuse(t)
}

func (nobody) GetProjection(_ context.Context, t Target, _ metav1.GetOptions) (runtime.Object, error) {
	return nil, refuse(t)
}

func (nobody) List(_ context.Context, t Target, _ metav1.ListOptions) (*List, error) {
	return nil, refuse(t)
}

func (nobody) Watch(_ context.Context, t Target, _ metav1.ListOptions) (Watcher, error) {
	return nil, refuse(t)
}

func (nobody) Create(_ context.Context, t Target, _ runtime.Object, _ WriteOptions) (*Result, error) {
	return nil, refuse(t)
}

func (nobody) Update(_ context.Context, t Target, _ runtime.Object, _ WriteOptions) (*Result, error) {
	return nil, refuse(t)
}

func (nobody) Patch(_ context.Context, t Target, _ types.PatchType, _ []byte, _ WriteOptions) (*Result, error) {
	return nil, refuse(t)
}

func (nobody) Delete(_ context.Context, t Target, _ metav1.DeleteOptions) (*Result, error) {
	return nil, refuse(t)
}

func (nobody) DeleteCollection(_ context.Context, t Target, _ metav1.DeleteOptions, _ metav1.ListOptions) (*List, error) {
	return nil, refuse(t)
}

func (nobody) Batch(_ context.Context, items []BatchItem, _ bool) ([]BatchResult, error) {
	if len(items) == 0 {
		return nil, nil
	}
	return nil, refuse(items[0].Target)
}

var (
	_ Access   = (*Core)(nil)
	_ Registry = caller{}
	_ Registry = nobody{}
)
