package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/request/websocket"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/auth/node"
)

// Config is what an Authenticator asks.
type Config struct {
	// Header knows users that a front proxy names; nil: there is none.
	Header authenticator.Request
	// ClearHeaders removes what a front proxy says, once the user is known; nil removes
	// nothing.
	ClearHeaders func(http.Header)
	// ClientCAs verify client certificates; nil takes none.
	ClientCAs *x509.CertPool
	// Tokens are asked in order. One that does not know a token answers false;
	// one that knows it to be bad answers an error, and the next is asked, too.
	Tokens []authenticator.Token
	// NoAnonymous refuses requests without credentials.
	NoAnonymous bool
	// AnonymousPaths are the only ones that are served without credentials; none: all.
	AnonymousPaths []string
	Clock          clock.PassiveClock // nil is the real clock
}

// Authenticator finds the user of a request.
type Authenticator struct {
	cfg       Config
	websocket authenticator.Request
}

// New makes an Authenticator.
func New(c Config) *Authenticator {
	if c.Clock == nil {
		c.Clock = clock.RealClock{}
	}
	a := &Authenticator{cfg: c}
	a.websocket = websocket.NewProtocolAuthenticator(authenticator.TokenFunc(a.AuthenticateToken))
	return a
}

var errBadToken = errors.New("invalid bearer token")

// AuthenticateRequest implements authenticator.Request. As upstream, all credentials of
// a request are tried until one is good: front proxy, certificate, token. Credentials
// that are there and bad are an error: such a request does not fall back to anonymous.
func (a *Authenticator) AuthenticateRequest(r *http.Request) (*authenticator.Response, bool, error) {
	resp, ok, err := a.known(r)
	if err == nil && !ok {
		resp, ok = a.anonymous(r)
	}
	if ok && a.cfg.ClearHeaders != nil {
		a.cfg.ClearHeaders(r.Header)
	}
	return resp, ok, err
}

// known tries the credentials.
func (a *Authenticator) known(r *http.Request) (*authenticator.Response, bool, error) {
	var errs []error
	for _, try := range []func(*http.Request) (*authenticator.Response, bool, error){a.header, a.clientCertificate, a.websocket.AuthenticateRequest, a.bearer} {
		resp, ok, err := try(r)
		if ok {
			return resp, true, nil
		}
		errs = append(errs, err)
	}
	return nil, false, errors.Join(errs...)
}

func (a *Authenticator) header(r *http.Request) (*authenticator.Response, bool, error) {
	if a.cfg.Header == nil {
		return nil, false, nil
	}
	resp, ok, err := a.cfg.Header.AuthenticateRequest(r)
	if ok {
		resp.User = authenticated(resp.User)
	}
	return resp, ok, err
}

func (a *Authenticator) clientCertificate(r *http.Request) (*authenticator.Response, bool, error) {
	if a.cfg.ClientCAs == nil || r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return nil, false, nil
	}
	return a.certificate(r.TLS.PeerCertificates, r.RemoteAddr)
}

func (a *Authenticator) bearer(r *http.Request) (*authenticator.Response, bool, error) {
	header := strings.TrimSpace(r.Header.Get("Authorization"))
	if header == "" {
		return nil, false, nil
	}
	scheme, token, _ := strings.Cut(header, " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "bearer") || token == "" {
		return nil, false, errBadToken
	}
	return a.AuthenticateToken(r.Context(), token)
}

func (a *Authenticator) anonymous(r *http.Request) (*authenticator.Response, bool) {
	if a.cfg.NoAnonymous || len(a.cfg.AnonymousPaths) > 0 && !slices.Contains(a.cfg.AnonymousPaths, r.URL.Path) {
		return nil, false
	}
	return &authenticator.Response{User: &user.DefaultInfo{Name: user.Anonymous, Groups: []string{user.AllUnauthenticated}}}, true
}

// maxToken bounds what is tried as a token.
const maxToken = 16 << 10

// AuthenticateToken implements authenticator.Token.
func (a *Authenticator) AuthenticateToken(ctx context.Context, token string) (*authenticator.Response, bool, error) {
	if len(token) > maxToken {
		return nil, false, errBadToken
	}
	var errs []error
	for _, t := range a.cfg.Tokens {
		resp, ok, err := t.AuthenticateToken(ctx, token)
		if ok && err == nil {
			answer := *resp // a cache may have it, too
			answer.User = authenticated(resp.User)
			return &answer, true, nil
		}
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, false, err
	}
	return nil, false, errBadToken
}

// certificate makes a user of a verified certificate: the common name is the
// user, organizations are the groups. Of a node's agent it is noted where it
// comes from: that is what its serving certificate may be good for.
func (a *Authenticator) certificate(chain []*x509.Certificate, remote string) (*authenticator.Response, bool, error) {
	opts := x509.VerifyOptions{
		Roots:         a.cfg.ClientCAs,
		Intermediates: x509.NewCertPool(),
		CurrentTime:   a.cfg.Clock.Now(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	for _, c := range chain[1:] {
		opts.Intermediates.AddCert(c)
	}
	if _, err := chain[0].Verify(opts); err != nil {
		return nil, false, err
	}
	if chain[0].Subject.CommonName == "" {
		return nil, false, errors.New("client certificate names no user")
	}
	u := &user.DefaultInfo{Name: chain[0].Subject.CommonName, Groups: slices.Clone(chain[0].Subject.Organization)}
	if _, ok := node.Identity(u); ok {
		if from, err := netip.ParseAddrPort(remote); err == nil {
			u.Extra = map[string][]string{node.RemoteAddress: {from.Addr().Unmap().WithZone("").String()}}
		}
	}
	return &authenticator.Response{User: authenticated(u)}, true, nil
}

// authenticated adds the group of everybody who is known.
func authenticated(u user.Info) user.Info {
	if u.GetName() == user.Anonymous || slices.Contains(u.GetGroups(), user.AllAuthenticated) {
		return u
	}
	return &user.DefaultInfo{Name: u.GetName(), UID: u.GetUID(), Extra: u.GetExtra(),
		Groups: append(slices.Clone(u.GetGroups()), user.AllAuthenticated)}
}

var (
	_ authenticator.Request = (*Authenticator)(nil)
	_ authenticator.Token   = (*Authenticator)(nil)
)
