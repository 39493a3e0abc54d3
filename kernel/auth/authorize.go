package auth

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/handlers/responsewriters"
)

// Authorization asks an authorizer and words its refusals as upstream does. It is
// the one way from a decision to an answer, at the edge and in the process.
type Authorization struct {
	Authorizer authorizer.UnconditionalAuthorizer
	Log        *slog.Logger // nil discards
}

// Check returns nil when a is allowed.
//
// # Errors
//   - Forbidden
//   - InternalError, as upstream's, when the authorizer fails: to ask again may help. Why
//     it failed is logged, and is not the client's to know
//   - ctx's
func (z Authorization) Check(ctx context.Context, a authorizer.Attributes) error {
	_, err := z.decide(ctx, a)
	return err
}

// CheckRecorded is Check for what a request itself asks: the audit event of ctx says
// what was decided, and why.
func (z Authorization) CheckRecorded(ctx context.Context, a authorizer.Attributes) error {
	reason, err := z.decide(ctx, a)
	Record(ctx, err == nil, reason)
	return err
}

// failed is the reason of a decision that was none.
const failed = "internal error"

// Record annotates the audit event of ctx, if there is one, with a decision, as
// upstream's filter does.
func Record(ctx context.Context, allowed bool, reason string) {
	decision := "forbid"
	if allowed {
		decision = "allow"
	}
	audit.AddAuditAnnotations(ctx, "authorization.k8s.io/decision", decision, "authorization.k8s.io/reason", reason)
}

func (z Authorization) decide(ctx context.Context, a authorizer.Attributes) (reason string, err error) {
	decision, reason, err := z.Authorizer.Authorize(ctx, a)
	switch {
	case decision == authorizer.DecisionAllow:
		return reason, nil
	case err != nil && ctx.Err() != nil:
		return failed, ctx.Err()
	case err != nil && z.Log != nil:
		z.Log.Warn("authorizer", "error", err)
	}
	if err != nil {
		return failed, apierrors.NewInternalError(errors.New("it could not be decided whether this is allowed; the server's log says why"))
	}
	return reason, responsewriters.ForbiddenStatusError(a, reason)
}

// Authorizers asks each in turn until one decides.
type Authorizers []authorizer.UnconditionalAuthorizer

// Authorize implements authorizer.UnconditionalAuthorizer.
func (as Authorizers) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	var reasons []string
	var errs []error
	for _, z := range as {
		d, reason, err := z.Authorize(ctx, a)
		if err != nil {
			errs = append(errs, err)
		}
		if reason != "" {
			reasons = append(reasons, reason)
		}
		if d != authorizer.DecisionNoOpinion {
			return d, reason, err
		}
	}
	return authorizer.DecisionNoOpinion, strings.Join(reasons, "\n"), errors.Join(errs...)
}

var _ authorizer.UnconditionalAuthorizer = Authorizers(nil)
