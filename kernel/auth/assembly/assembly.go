// Package assembly puts together what decides who asks and what he may, in two steps:
// what people configured is read before the store is opened, so that a fault in a file is
// told at once; the rest needs the cluster's keys.
package assembly

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
	"github.com/pintle-io/pintle/kernel/auth/configfile"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Config is what an Auth is made of.
type Config struct {
	Authentication *authn.Options // nil: nobody is known but whom every cluster knows
	Authorization  *authz.Options // nil: node authorization, then roles
	Server         string         // this server's identity
	// Reader reads what the registry has; it is not asked before a request is.
	Reader resource.Reader
	// Dial reaches issuers and webhooks.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// NoteUse is token.Config's.
	NoteUse func(ctx context.Context, s *corev1.Secret, day string)
	Metrics prometheus.Registerer
	Log     *slog.Logger
}

// Auth is what decides who asks and what he may.
type Auth struct {
	Authenticator *auth.Authenticator // after Complete
	Tokens        *token.Authority    // after Complete
	Authorizer    *authz.Chain
	RBAC          *rbac.Authorizer

	cfg        Config
	configured *authn.Authentication
}

// Open reads what is configured. The caller must Close what it returns.
//
// # Errors
//   - those of authn.Open and authz.Open
func Open(c Config) (*Auth, error) {
	known, decides := authn.DefaultOptions(), authz.DefaultOptions()
	if c.Authentication != nil {
		known = *c.Authentication
	}
	if c.Authorization != nil {
		decides = *c.Authorization
	}
	rules, err := rbac.NodeRules()
	if err != nil {
		return nil, err
	}
	a := &Auth{cfg: c, RBAC: rbac.New(c.Reader)}
	z := authz.Config{Options: decides, Node: node.NewAuthorizer(c.Reader, rules), RBAC: a.RBAC, Dial: c.Dial, Metrics: authz.NewMetrics(), Log: c.Log}
	c.Metrics.MustRegister(z.Metrics)
	if decides.ConfigFile != "" {
		z.File = configfile.NewMetrics("authorization", c.Server)
		c.Metrics.MustRegister(z.File)
	}
	if a.Authorizer, err = authz.Open(z); err != nil {
		return nil, err
	}
	n := authn.Config{Options: known, Audiences: audiences(&known), Issuers: []string{token.DefaultIssuer}, Server: c.Server, Dial: c.Dial, Log: c.Log}
	if known.ConfigFile != "" {
		n.Metrics = configfile.NewMetrics("authentication", c.Server)
		c.Metrics.MustRegister(n.Metrics)
	}
	a.configured, err = authn.Open(n)
	return a, err
}

// audiences are those of this API server.
func audiences(o *authn.Options) authenticator.Audiences {
	if len(o.APIAudiences) > 0 {
		return o.APIAudiences
	}
	return authenticator.Audiences{token.DefaultIssuer}
}

// Complete makes what tells users, by the cluster's keys and what has been configured.
func (a *Auth) Complete(keys *pki.PKI, c clock.PassiveClock) (err error) {
	more := a.configured
	if err := more.CheckClientCA(keys.CA()); err != nil {
		return err
	}
	var asked []string
	if a.cfg.Authentication != nil {
		asked = a.cfg.Authentication.APIAudiences
	}
	a.Tokens, err = token.New(token.Config{Key: keys.ServiceAccountKey(), Audiences: asked, Reader: a.cfg.Reader, Clock: c, NoteUse: a.cfg.NoteUse})
	if err != nil {
		return err
	}
	a.cfg.Metrics.MustRegister(a.Tokens)
	bootstrap := authenticator.WrapAudienceAgnosticToken(a.Tokens.Audiences(), &auth.BootstrapTokens{Reader: a.cfg.Reader, Clock: c})
	anonymous := more.Anonymous()
	conf := auth.Config{Header: more.Header(), ClearHeaders: clearProxyHeaders(more), ClientCAs: keys.Pool(),
		Tokens: append([]authenticator.Token{a.Tokens, bootstrap}, more.Tokens()...), NoAnonymous: !anonymous.Enabled, Clock: c}
	for _, x := range anonymous.Conditions {
		conf.AnonymousPaths = append(conf.AnonymousPaths, x.Path)
	}
	if anonymous.Enabled && a.Authorizer.AllowsAll() {
		a.cfg.Log.Warn("requests without credentials are refused, since everybody else is allowed everything: choose another --authorization-mode than AlwaysAllow")
		conf.NoAnonymous = true
	}
	a.Authenticator = auth.New(conf)
	return nil
}

// The headers by which servers behind this one are told who asks.
var (
	proxyUser, proxyUID, proxyGroup = headerrequest.StaticStringSlice{"X-Remote-User"}, headerrequest.StaticStringSlice{"X-Remote-Uid"}, headerrequest.StaticStringSlice{"X-Remote-Group"}
	proxyExtra                      = headerrequest.StaticStringSlice{"X-Remote-Extra-"}
)

// clearProxyHeaders removes what a client says of itself, or a front proxy of it:
// nobody behind this server may take it for said by this server.
func clearProxyHeaders(a *authn.Authentication) func(http.Header) {
	names, uids, groups, extra := a.ProxyHeaders()
	return func(h http.Header) {
		headerrequest.ClearAuthenticationHeaders(h, proxyUser, proxyUID, proxyGroup, proxyExtra)
		headerrequest.ClearAuthenticationHeaders(h, names, uids, groups, extra)
	}
}

// ServerTLS makes a server ask clients for certificates of a front proxy's authority,
// too: many show none that nobody asks for. It changes c.
func (a *Auth) ServerTLS(c *tls.Config) *tls.Config {
	for _, ca := range a.configured.HeaderCAs() {
		c.ClientCAs.AddCert(ca)
	}
	return c
}

// Run follows the file of authentication until ctx ends; Authorizer has that of its own.
func (a *Auth) Run(ctx context.Context) error { return a.configured.Run(ctx) }

// Close ends what asks issuers for their keys.
func (a *Auth) Close() error { return a.configured.Close() }
