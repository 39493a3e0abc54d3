// Package audit records who asked what of the API, as upstream's audit log: a policy
// says of which requests and in which depth, backends take the events. What an event
// says, how a policy is read and what it matches is upstream's (k8s.io/apiserver/pkg/audit);
// the backends are our own.
//
// An [Auditor] makes a [Request] of what the policy wants recorded; whoever serves
// the request tells it what comes in and goes out. There is no Auditor without a
// policy, and no Request of what the policy leaves out: both are nil then, and all
// their methods do nothing, so that callers need not ask.
//
// Annotations reach the event of a request through its context, as upstream's
// libraries add them: k8s.io/apiserver/pkg/audit.AddAuditAnnotation.
package audit

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
	"k8s.io/apiserver/pkg/audit/policy"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	"k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/audit/backend"
)

// Config is what an Auditor is made of.
type Config struct {
	Options
	// Carriers are resources whose requests carry objects of others, such as Secrets,
	// whose own levels the policy says elsewhere: their bodies are never recorded. What
	// was done to each is in annotations.
	Carriers []schema.GroupResource
	// Dial reaches the webhook; nil dials directly.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Metrics prometheus.Registerer // nil: nobody reads them
	Clock   clock.Clock           // nil is the real one
	Log     *slog.Logger          // nil discards

	// Backend takes the events instead of those of Options; tests have it.
	Backend backend.Backend
}

// Auditor decides which requests are recorded, and where. Nil records none. It is
// safe for concurrent use.
type Auditor struct {
	policy   audit.PolicyRuleEvaluator
	carriers []schema.GroupResource
	backend  backend.Backend
	metrics  *metrics
	clock    clock.Clock
	stop     context.CancelFunc
}

// Open reads the policy and opens the backends; it answers nil when there is no
// policy, or nothing that takes events. Close it.
//
// # Errors
//   - what is wrong with the policy, by field
//   - what is wrong with the options, by flag
func Open(c Config) (*Auditor, error) {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	some := c.Backend != nil || c.Options.Log.Path != "" || c.Webhook.ConfigFile != ""
	switch {
	case c.PolicyFile == "" && some:
		c.Log.Warn("no audit events are recorded: there is no --audit-policy-file")
		return nil, nil
	case c.PolicyFile == "":
		return nil, nil
	}
	p, err := policy.LoadPolicyFromFile(c.PolicyFile)
	if err != nil {
		return nil, fmt.Errorf("--audit-policy-file: %w", err)
	}
	if !some {
		c.Log.Warn("no audit events are recorded: there is neither --audit-log-path nor --audit-webhook-config-file")
		return nil, nil
	}
	m, err := newMetrics(c.Metrics)
	if err != nil {
		return nil, err
	}
	stopped, stop := context.WithCancel(context.Background())
	a := &Auditor{policy: policy.NewPolicyRuleEvaluator(p), carriers: c.Carriers, backend: c.Backend, metrics: m, clock: c.Clock, stop: stop}
	if a.backend == nil {
		if a.backend, err = (&builder{c: &c, metrics: m, stopped: stopped}).build(); err != nil {
			stop()
			return nil, err
		}
	}
	return a, nil
}

// Close passes on what waits, and closes the backends. Requests that are still
// served are recorded no more.
func (a *Auditor) Close() error {
	if a == nil {
		return nil
	}
	a.stop()
	return a.backend.Close()
}

// ProcessEvents implements upstream's Sink.
func (a *Auditor) ProcessEvents(events ...*auditinternal.Event) bool {
	a.metrics.events.Add(float64(len(events)))
	return a.backend.ProcessEvents(events...)
}

// Context prepares the context of a request that has just come, called id: from
// here on it takes annotations. One that the context of another request was has
// none of that request's.
func (a *Auditor) Context(ctx context.Context, id string) context.Context {
	if a == nil {
		return ctx
	}
	ctx = audit.WithAuditContext(fresh{ctx})
	audit.WithAuditID(ctx, types.UID(id))
	return request.WithReceivedTimestamp(ctx, a.clock.Now())
}

// Begin decides whether a request whose context is of [Auditor.Context] is recorded:
// the answer is nil if it is not, and is in the context otherwise ([From]). r tells
// the URL, the client and its name.
func (a *Auditor) Begin(ctx context.Context, r *http.Request, attrs authorizer.Attributes) (context.Context, *Request) {
	if a == nil {
		return ctx, nil
	}
	about := audit.AuditContextFrom(ctx)
	if about == nil {
		return ctx, nil
	}
	config := a.policy.EvaluatePolicyRule(attrs)
	if a.carries(attrs) && config.Level.GreaterOrEqual(auditinternal.LevelRequest) {
		config.Level = auditinternal.LevelMetadata
	}
	omit := config.OmitManagedFields
	if config.Level.Less(auditinternal.LevelRequest) {
		config.OmitManagedFields = false // there are no bodies, and upstream would copy them
	}
	a.metrics.levels.WithLabelValues(string(config.Level)).Inc()
	if err := about.Init(config, a); err != nil || config.Level == auditinternal.LevelNone {
		return ctx, nil // begun already, by a filter before
	}
	received, ok := request.ReceivedTimestampFrom(ctx)
	if !ok {
		received = a.clock.Now()
	}
	audit.LogRequestMetadata(ctx, r, received, attrs)
	q := &Request{ctx: ctx, about: about, auditor: a, level: config.Level, omitManagedFields: omit}
	return context.WithValue(ctx, key{}, q), q
}

// InProcess begins a request of this process itself, which nobody has prepared a
// context for: what [Auditor.Context] and [Auditor.Begin] do for one of a client. What
// the policy leaves out goes on in the context that it came with, and r, which makes
// the request as it would be over HTTP, is not asked.
func (a *Auditor) InProcess(ctx context.Context, r func() *http.Request, attrs authorizer.AttributesRecord) (context.Context, *Request) {
	if a == nil {
		return ctx, nil
	}
	if level := a.policy.EvaluatePolicyRule(&attrs).Level; level == auditinternal.LevelNone {
		a.metrics.levels.WithLabelValues(string(level)).Inc()
		return ctx, nil
	}
	return a.Begin(a.Context(ctx, uuid.NewString()), r(), &attrs)
}

// carries tells that the body of a request is objects of other resources; see
// [Config.Carriers].
func (a *Auditor) carries(attrs authorizer.Attributes) bool {
	return slices.Contains(a.carriers, schema.GroupResource{Group: attrs.GetAPIGroup(), Resource: attrs.GetResource()})
}

// fresh is a context without the request that it belonged to: upstream's library
// makes no second one in it.
type fresh struct{ context.Context }

// Value implements context.Context.
func (f fresh) Value(k any) any {
	if k == (key{}) {
		return nil
	}
	v := f.Context.Value(k)
	if _, ok := v.(*audit.AuditContext); ok {
		return nil
	}
	return v
}

var _ audit.Sink = (*Auditor)(nil)
