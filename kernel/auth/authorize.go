package auth

import (
	"context"
	"errors"
	"strings"

	"k8s.io/apiserver/pkg/authorization/authorizer"
)

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
