package authz

import (
	"context"
	"fmt"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authorizer/webhook"

	"github.com/pintle-io/pintle/kernel/auth/remote"
)

// webhook makes the authorizer that asks one.
func (z *Chain) webhook(c *apiserver.AuthorizerConfiguration) (authorizer.UnconditionalAuthorizer, error) {
	w := c.Webhook
	client, err := webhookutil.LoadKubeconfig(*w.ConnectionInfo.KubeConfigFile, z.cfg.Dial)
	if err != nil {
		return nil, fmt.Errorf("webhook.connectionInfo.kubeConfigFile: %w", err)
	}
	if w.Timeout.Duration != 0 {
		client.Timeout = w.Timeout.Duration
	}
	client.Wrap(remote.Bounded)
	onError := authorizer.DecisionNoOpinion
	if w.FailurePolicy == apiserver.FailurePolicyDeny {
		onError = authorizer.DecisionDeny
	}
	allowed, refused := w.AuthorizedTTL.Duration, w.UnauthorizedTTL.Duration
	if !w.CacheAuthorizedRequests {
		allowed = 0
	}
	if !w.CacheUnauthorizedRequests {
		refused = 0
	}
	a, err := webhook.New(client, w.SubjectAccessReviewVersion, allowed, refused, *webhook.DefaultRetryBackoff(), onError, w.MatchConditions, c.Name, z.cfg.Metrics, z.celCompiler())
	if err != nil {
		return nil, err
	}
	return &queue{next: a, onError: onError, slots: make(chan struct{}, remote.MaxWaiting)}, nil
}

// queue bounds how many requests wait for a webhook. The next is decided by the failure
// policy.
type queue struct {
	next    authorizer.UnconditionalAuthorizer
	onError authorizer.Decision
	slots   chan struct{}
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (q *queue) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	select {
	case q.slots <- struct{}{}:
	default:
		return q.onError, "", fmt.Errorf("%d requests wait for the webhook already", cap(q.slots))
	}
	defer func() { <-q.slots }()
	return q.next.Authorize(ctx, a)
}

var _ authorizer.UnconditionalAuthorizer = (*queue)(nil)
