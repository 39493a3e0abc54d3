package kernel

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"

	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/authn"
	"github.com/pintle-io/pintle/kernel/auth/authz"
	"github.com/pintle-io/pintle/kernel/auth/configfile"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/resource"
)

// lateReader reads what the registry has, once there is one.
func lateReader(k *Kernel) auth.LateReader {
	return func() resource.Reader { return k.core.Reader() }
}

// openAuth reads who is known and who decides: before the store is opened, so that a
// fault in a file is told at once.
func (k *Kernel) openAuth(context.Context) error {
	known, decides := authn.DefaultOptions(), authz.DefaultOptions()
	if k.c.Authentication != nil {
		known = *k.c.Authentication
	}
	if k.c.Authorization != nil {
		decides = *k.c.Authorization
	}
	// What is dialled may be a pod of this cluster, once it is known how.
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		return k.c.Dial(ctx, network, address)
	}
	c := authn.Config{Options: known, Audiences: audiences(&known), Issuers: []string{token.DefaultIssuer}, Server: k.identity.Name, Dial: dial, Log: k.c.Log}
	if known.ConfigFile != "" {
		c.Metrics = configfile.NewMetrics("authentication", k.identity.Name)
		k.metrics.MustRegister(c.Metrics)
	}
	var err error
	if k.auth.configured, err = authn.Open(c); err != nil {
		return err
	}
	k.closers = append(k.closers, k.auth.configured)
	reader := lateReader(k)
	rules, err := rbac.NodeRules()
	if err != nil {
		return err
	}
	k.auth.RBAC = rbac.New(reader)
	z := authz.Config{Options: decides, Node: node.NewAuthorizer(reader, rules), RBAC: k.auth.RBAC, Dial: dial, Metrics: authz.NewMetrics(), Log: k.c.Log}
	k.metrics.MustRegister(z.Metrics)
	if decides.ConfigFile != "" {
		z.File = configfile.NewMetrics("authorization", k.identity.Name)
		k.metrics.MustRegister(z.File)
	}
	k.auth.Authorizer, err = authz.Open(z)
	return err
}

// audiences are those of this API server.
func audiences(o *authn.Options) authenticator.Audiences {
	if len(o.APIAudiences) > 0 {
		return o.APIAudiences
	}
	return authenticator.Audiences{token.DefaultIssuer}
}

// makeAuth makes what tells users, by the cluster's keys, by what reader has, and by
// what has been configured.
func (k *Kernel) makeAuth(reader resource.Reader) (err error) {
	more := k.auth.configured
	if err := more.CheckClientCA(k.pki.CA()); err != nil {
		return err
	}
	var asked []string
	if k.c.Authentication != nil {
		asked = k.c.Authentication.APIAudiences
	}
	k.auth.Tokens, err = token.New(token.Config{Key: k.pki.ServiceAccountKey(), Audiences: asked, Reader: reader, Clock: k.c.Adjust.Clock})
	if err != nil {
		return err
	}
	bootstrap := authenticator.WrapAudienceAgnosticToken(k.auth.Tokens.Audiences(), &auth.BootstrapTokens{Reader: reader, Clock: k.c.Adjust.Clock})
	anonymous := more.Anonymous()
	c := auth.Config{Header: more.Header(), ClearHeaders: clearProxyHeaders(more), ClientCAs: k.pki.Pool(),
		Tokens: append([]authenticator.Token{k.auth.Tokens, bootstrap}, more.Tokens()...), NoAnonymous: !anonymous.Enabled, Clock: k.c.Adjust.Clock}
	for _, x := range anonymous.Conditions {
		c.AnonymousPaths = append(c.AnonymousPaths, x.Path)
	}
	if anonymous.Enabled && k.auth.Authorizer.AllowsAll() {
		k.c.Log.Warn("requests without credentials are refused, since everybody else is allowed everything: choose another --authorization-mode than AlwaysAllow")
		c.NoAnonymous = true
	}
	k.auth.Authenticator = auth.New(c)
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

// serverTLS asks clients for certificates of the cluster's authority and of a front
// proxy's: many show none that nobody asks for.
func (k *Kernel) serverTLS() *tls.Config {
	c := k.pki.ServerTLS()
	for _, ca := range k.auth.configured.HeaderCAs() {
		c.ClientCAs.AddCert(ca)
	}
	return c
}
