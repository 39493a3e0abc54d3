package filters

import (
	"context"
	"errors"
	"log/slog"

	"k8s.io/apiserver/pkg/authorization/authorizer"

	"github.com/pintle-io/pintle/kernel/apiserver/response"
)

// Authorization asks an authorizer and answers as upstream does.
type Authorization struct {
	Authorizer authorizer.UnconditionalAuthorizer
	Log        *slog.Logger
}

// Check returns nil, a Forbidden, or an internal error.
func (s Authorization) Check(ctx context.Context, a authorizer.Attributes) error {
	decision, reason, err := s.Authorizer.Authorize(ctx, a)
	switch {
	case decision == authorizer.DecisionAllow:
		return nil
	case err != nil && errors.Is(err, context.DeadlineExceeded):
		return err
	case err != nil && !errors.Is(err, context.Canceled): // else the client has gone
		s.Log.Warn("authorizer", "error", err)
	}
	return response.Forbidden(a, reason)
}
