package filters

import (
	"context"

	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
)

// own is who asks from within this process, and who says what he may.
type own struct {
	user  user.Info
	allow func(authorizer.Attributes) error
}

type ownKey struct{}

// WithOwn makes a request one of somebody in this process: nobody asks for credentials,
// and allow, whose error is the answer, stands in for the authorizers. No request that
// came over a connection has such a context.
func WithOwn(ctx context.Context, u user.Info, allow func(authorizer.Attributes) error) context.Context {
	return context.WithValue(ctx, ownKey{}, &own{u, allow})
}

func ownOf(ctx context.Context) *own {
	o, _ := ctx.Value(ownKey{}).(*own)
	return o
}
