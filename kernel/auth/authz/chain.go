package authz

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"
	authorizationcel "k8s.io/apiserver/pkg/authorization/cel"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/configfile"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
)

// Config is what a Chain is made of.
type Config struct {
	Options
	Node authorizer.UnconditionalAuthorizer
	RBAC *rbac.Authorizer
	// Dial reaches webhooks; nil dials directly.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	File    *configfile.Metrics // of the file; nil: none
	Metrics *Metrics            // of decisions and webhooks; nil: nobody sees them
	Log     *slog.Logger        // nil discards
}

// Chain is who decides. It is safe for concurrent use.
type Chain struct {
	cfg         Config
	compileOnce sync.Once
	compiler    authorizationcel.Compiler
	current     atomic.Pointer[link]
	follower    *configfile.Follower // nil: there is no file
}

// link is a chain that has been configured.
type link struct {
	all    auth.Authorizers
	rules  []resolver
	config *apiserver.AuthorizationConfiguration
}

// resolver lists what a user may do by one authorizer.
type resolver func(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error)

// Open reads what the options name.
//
// # Errors
//   - a flag, or a field of a file, that is wrong: the text names it. All of the flags'
//     faults are told at once.
//   - a file that cannot be read
func Open(c Config) (*Chain, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = NewMetrics()
	}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	z := &Chain{cfg: c}
	if c.ConfigFile == "" {
		l, err := z.link(c.configuration())
		if err != nil {
			return nil, fmt.Errorf("--authorization-webhook-config-file: %w", err)
		}
		z.current.Store(l)
		return z, nil
	}
	data, err := configfile.Read(c.ConfigFile)
	if err != nil {
		return nil, fmt.Errorf("--authorization-config: %w", err)
	}
	conf, err := z.decode(data, nil)
	if err != nil {
		return nil, fmt.Errorf("--authorization-config %s: %w", c.ConfigFile, err)
	}
	l, err := z.link(conf)
	if err != nil {
		return nil, fmt.Errorf("--authorization-config %s: %w", c.ConfigFile, err)
	}
	z.current.Store(l)
	z.follower = configfile.New(configfile.Config{Path: c.ConfigFile, What: "authorization", Initial: bytes.Clone(data), Apply: z.apply, Metrics: c.File, Log: c.Log})
	return z, nil
}

// apply implements configfile.Config.Apply.
func (z *Chain) apply(_ context.Context, data []byte) error {
	now := z.current.Load().config
	needed := []apiserver.AuthorizerType{}
	for _, c := range now.Authorizers {
		if c.Type != apiserver.TypeWebhook {
			needed = append(needed, c.Type)
		}
	}
	conf, err := z.decode(data, needed)
	if err != nil || reflect.DeepEqual(conf, now) {
		return err
	}
	l, err := z.link(conf)
	if err == nil {
		z.current.Store(l)
	}
	return err
}

// link makes the authorizers of a configuration.
func (z *Chain) link(c *apiserver.AuthorizationConfiguration) (*link, error) {
	if len(c.Authorizers) == 0 {
		return nil, errNone
	}
	l := &link{config: c, all: auth.Authorizers{privileged{}}}
	for i := range c.Authorizers {
		conf := &c.Authorizers[i]
		a, rules, err := z.authorizer(conf)
		if err != nil {
			return nil, fmt.Errorf("authorizers[%d] (%s): %w", i, conf.Name, err)
		}
		l.all = append(l.all, z.cfg.Metrics.count(a, string(conf.Type), conf.Name))
		l.rules = append(l.rules, rules)
	}
	return l, nil
}

func (z *Chain) authorizer(c *apiserver.AuthorizerConfiguration) (authorizer.UnconditionalAuthorizer, resolver, error) {
	switch string(c.Type) {
	case ModeNode:
		return z.cfg.Node, nodeRules, nil
	case ModeRBAC:
		return z.cfg.RBAC, z.cfg.RBAC.RulesFor, nil
	case ModeAlwaysAllow:
		return always(authorizer.DecisionAllow), everything, nil
	case ModeAlwaysDeny:
		return always(authorizer.DecisionNoOpinion), nothing, nil
	case ModeWebhook:
		w, err := z.webhook(c)
		return w, webhookRules, err
	}
	return nil, nil, fmt.Errorf("unknown type %q", c.Type)
}

// Authorize implements authorizer.UnconditionalAuthorizer.
func (z *Chain) Authorize(ctx context.Context, a authorizer.Attributes) (authorizer.Decision, string, error) {
	return z.current.Load().all.Authorize(ctx, a)
}

// RulesFor lists what a user may do in a namespace, by all who can tell. An error
// says why there may be more.
func (z *Chain) RulesFor(ctx context.Context, u user.Info, namespace string) ([]rbacv1.PolicyRule, error) {
	var out []rbacv1.PolicyRule
	var errs []error
	for _, rules := range z.current.Load().rules {
		more, err := rules(ctx, u, namespace)
		out, errs = append(out, more...), append(errs, err)
	}
	return out, errors.Join(errs...)
}

// AllowsAll tells whether everybody may do everything, for whom nobody should be
// anonymous.
func (z *Chain) AllowsAll() bool {
	return slices.ContainsFunc(z.current.Load().config.Authorizers, func(c apiserver.AuthorizerConfiguration) bool { return c.Type == ModeAlwaysAllow })
}

// Run follows the configuration file until ctx ends.
func (z *Chain) Run(ctx context.Context) error {
	if z.follower == nil {
		<-ctx.Done()
		return nil
	}
	return z.follower.Run(ctx)
}

var _ authorizer.UnconditionalAuthorizer = (*Chain)(nil)
