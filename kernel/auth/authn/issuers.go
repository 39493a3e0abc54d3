package authn

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"time"

	utilnet "k8s.io/apimachinery/pkg/util/net"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apiserver/pkg/apis/apiserver"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/token/cache"
	"k8s.io/apiserver/pkg/authentication/token/union"
	"k8s.io/apiserver/plugin/pkg/authenticator/token/oidc"
	"k8s.io/client-go/util/cert"

	"github.com/pintle-io/pintle/kernel/auth/configfile"
	"github.com/pintle-io/pintle/kernel/auth/remote"
)

const (
	// successTTL is how long a token is not verified again; upstream's.
	successTTL = 10 * time.Second
	// requestTimeout bounds a request to an issuer; upstream's.
	requestTimeout = 30 * time.Second
	// readyTimeout is how long a new configuration may wait for its issuers' keys.
	readyTimeout = time.Minute
	// handover is how long an old configuration's key sets stay for the requests
	// that began with them.
	handover = time.Minute
)

// issuers are those of one configuration.
type issuers struct {
	tokens authenticator.Token
	ready  func() error // nil once the keys of all have been read
	cancel func()
}

// newIssuers begins to ask for the keys.
func (a *Authentication) newIssuers(c *apiserver.AuthenticationConfiguration, algs []string) (*issuers, error) {
	ctx, cancel := context.WithCancel(a.ctx)
	var tokens []authenticator.Token
	var checks []func() error
	for i := range c.JWT {
		client, err := a.client(&c.JWT[i].Issuer)
		if err == nil {
			var t oidc.AuthenticatorTokenWithHealthCheck
			t, err = oidc.New(ctx, oidc.Options{JWTAuthenticator: c.JWT[i], Client: client, Compiler: a.celCompiler(), SupportedSigningAlgs: algs, DisallowedIssuers: a.cfg.Issuers, APIServerID: a.cfg.Server})
			if err == nil {
				tokens, checks = append(tokens, t), append(checks, t.HealthCheck)
			}
		}
		if err != nil {
			cancel()
			return nil, fmt.Errorf("%s: %w", field.NewPath("jwt").Index(i), err)
		}
	}
	t := a.forAnyAudience(union.NewFailOnError(tokens...))
	if len(tokens) > 0 {
		t = cache.New(newQueue("an issuer's keys", t), true, successTTL, 0)
	}
	return &issuers{tokens: t, cancel: cancel, ready: func() error {
		var errs []error
		for _, check := range checks {
			errs = append(errs, check())
		}
		return errors.Join(errs...)
	}}, nil
}

// client asks one issuer. What it reads is bounded, which oidc's own does not do.
func (a *Authentication) client(i *apiserver.Issuer) (*http.Client, error) {
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if i.CertificateAuthority != "" {
		pool, err := cert.NewPoolFromBytes([]byte(i.CertificateAuthority))
		if err != nil {
			return nil, fmt.Errorf("issuer.certificateAuthority: %w", err)
		}
		conf.RootCAs = pool
	}
	t := utilnet.SetTransportDefaults(&http.Transport{TLSClientConfig: conf, DialContext: a.cfg.Dial})
	return &http.Client{Transport: remote.Bounded(t), Timeout: requestTimeout}, nil
}

// reload takes new configurations from the file.
type reload struct {
	a         *Authentication
	anonymous *apiserver.AnonymousAuthConfig // what the file said first
	algs      []string
}

// apply implements configfile.Config.Apply. A configuration is taken when the keys of
// all its issuers have been read.
func (r *reload) apply(ctx context.Context, data []byte) error {
	c, err := decode(data)
	if err != nil {
		return err
	}
	if err := r.a.validate(c); err != nil {
		return err
	}
	if !reflect.DeepEqual(r.anonymous, c.Anonymous) {
		return field.Forbidden(field.NewPath("anonymous"), "it may not change while the server runs: restart the server")
	}
	next, err := r.a.newIssuers(c, r.algs)
	if err != nil {
		return err
	}
	wctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if wait.PollUntilContextCancel(wctx, 100*time.Millisecond, true, func(context.Context) (bool, error) { return next.ready() == nil, nil }) != nil {
		err := next.ready()
		next.cancel()
		return &configfile.TemporaryError{Err: fmt.Errorf("issuers: %w", err)}
	}
	old := r.a.issuers.Swap(next)
	time.AfterFunc(handover, old.cancel) //nolint:forbidigo // requests that run are given real time
	return nil
}
