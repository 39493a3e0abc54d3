package authn

import (
	"context"
	"fmt"

	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/pintle-io/pintle/kernel/auth/remote"
)

// queue bounds how many requests wait for something that is elsewhere.
type queue struct {
	what  string
	next  authenticator.Token
	slots chan struct{}
}

func newQueue(what string, next authenticator.Token) *queue {
	return &queue{what: what, next: next, slots: make(chan struct{}, remote.MaxWaiting)}
}

// AuthenticateToken implements authenticator.Token.
func (q *queue) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	select {
	case q.slots <- struct{}{}:
	default:
		return nil, false, fmt.Errorf("%d requests wait for %s already", cap(q.slots), q.what)
	}
	defer func() { <-q.slots }()
	return q.next.AuthenticateToken(ctx, token)
}

var _ authenticator.Token = (*queue)(nil)
