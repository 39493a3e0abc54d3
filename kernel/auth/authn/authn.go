package authn

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"

	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	authenticationcel "k8s.io/apiserver/pkg/authentication/cel"
	"k8s.io/apiserver/pkg/authentication/request/headerrequest"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/token/tokenfile"
	webhookutil "k8s.io/apiserver/pkg/util/webhook"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/webhook"

	"github.com/pintle-io/pintle/kernel/auth/configfile"
	"github.com/pintle-io/pintle/kernel/auth/remote"
)

// Config is what an Authentication is made of.
type Config struct {
	Options
	// Audiences are those of this API server, for which a token is good that names
	// none.
	Audiences authenticator.Audiences
	// Issuers are those of the cluster's own tokens: nobody else may be one.
	Issuers []string
	// Server is this server's identity, by which metrics know it.
	Server string
	// Dial reaches issuers and the webhook; nil dials directly.
	Dial    func(ctx context.Context, network, address string) (net.Conn, error)
	Metrics *configfile.Metrics // of the file; nil: none
	Log     *slog.Logger        // nil discards
}

// Authentication is what the cluster's people configured. Its methods may be called
// concurrently.
type Authentication struct {
	cfg         Config
	ctx         context.Context // of the issuers' key sets, until Close
	cancel      context.CancelFunc
	compileOnce sync.Once
	compiler    authenticationcel.Compiler

	anonymous apiserver.AnonymousAuthConfig
	header    authenticator.Request
	headerCAs []*x509.Certificate
	tokens    []authenticator.Token
	issuers   atomic.Pointer[issuers]
	follower  *configfile.Follower // nil: there is no file
}

// Open reads what the options name and begins to ask the issuers for their keys. The
// caller must Close what it returns.
//
// # Errors
//   - a flag, or a field of a file, that is wrong: the text names it. All of the flags'
//     faults are told at once.
//   - a file that cannot be read
func Open(c Config) (*Authentication, error) {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	a := &Authentication{cfg: c}
	if err := a.cfg.Validate(); err != nil {
		return nil, err
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	if err := a.open(); err != nil {
		a.cancel()
		return nil, err
	}
	return a, nil
}

func (a *Authentication) open() (err error) {
	if a.header, a.headerCAs, err = a.cfg.Header.open(); err != nil {
		return err
	}
	if path := a.cfg.TokenFile; path != "" {
		t, err := tokenfile.NewCSV(path)
		if err != nil {
			return fmt.Errorf("--token-auth-file: %w", err)
		}
		a.tokens = append(a.tokens, a.forAnyAudience(t))
	}
	s, err := a.load()
	if err != nil {
		return err
	}
	first, err := a.newIssuers(s.config, s.algs)
	if err != nil {
		return err
	}
	a.issuers.Store(first)
	if len(s.config.JWT) > 0 || s.data != nil { // a file may have some later
		a.tokens = append(a.tokens, authenticator.TokenFunc(func(ctx context.Context, token string) (*authenticator.Response, bool, error) {
			return a.issuers.Load().tokens.AuthenticateToken(ctx, token)
		}))
	}
	if s.data != nil {
		r := &reload{a: a, anonymous: s.config.Anonymous, algs: s.algs}
		a.follower = configfile.New(configfile.Config{Path: a.cfg.ConfigFile, What: "authentication", Initial: bytes.Clone(s.data), Apply: r.apply, Metrics: a.cfg.Metrics, Log: a.cfg.Log})
	}
	return a.openWebhook()
}

func (a *Authentication) openWebhook() error {
	o := &a.cfg.Webhook
	if o.ConfigFile == "" {
		return nil
	}
	client, err := webhookutil.LoadKubeconfig(o.ConfigFile, a.cfg.Dial)
	if err != nil {
		return fmt.Errorf("--authentication-token-webhook-config-file: %w", err)
	}
	client.Wrap(remote.Bounded)
	w, err := webhook.New(client, o.Version, a.cfg.Audiences, *webhook.DefaultRetryBackoff())
	if err != nil {
		return fmt.Errorf("--authentication-token-webhook-config-file: %w", err)
	}
	a.tokens = append(a.tokens, cache.New(newQueue("the token webhook", w), false, o.CacheTTL, o.CacheTTL))
	return nil
}

// forAnyAudience makes tokens without an audience good for this API server, and only for it.
func (a *Authentication) forAnyAudience(t authenticator.Token) authenticator.Token {
	return authenticator.WrapAudienceAgnosticToken(a.cfg.Audiences, t)
}

// Tokens are asked in this order, after the cluster's own.
func (a *Authentication) Tokens() []authenticator.Token { return a.tokens }

// Header knows users that a front proxy names; nil when there is none.
func (a *Authentication) Header() authenticator.Request { return a.header }

// HeaderCAs are the authorities of the front proxy's certificate.
func (a *Authentication) HeaderCAs() []*x509.Certificate { return a.headerCAs }

// ProxyHeaders are the headers in which a front proxy names users, which nobody behind
// this server may see.
func (a *Authentication) ProxyHeaders() (names, uids, groups, extraPrefixes headerrequest.StaticStringSlice) {
	h := &a.cfg.Header
	return h.UsernameHeaders, h.UIDHeaders, h.GroupHeaders, h.ExtraHeaderPrefixes
}

// Anonymous says whether requests without credentials are served, and of which paths
// alone, if there are any.
func (a *Authentication) Anonymous() apiserver.AnonymousAuthConfig { return a.anonymous }

// Run follows the configuration file until ctx ends.
func (a *Authentication) Run(ctx context.Context) error {
	if a.follower == nil {
		<-ctx.Done()
		return nil
	}
	return a.follower.Run(ctx)
}

// Close ends what asks the issuers. Tokens of theirs are not known from then on.
func (a *Authentication) Close() error {
	a.cancel()
	return nil
}
