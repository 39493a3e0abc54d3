package apiserver

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/version"
	"k8s.io/apiserver/pkg/authentication/authenticator"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizer"

	served "github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel/apiserver/aggregation"
	"github.com/pintle-io/pintle/kernel/apiserver/handlers"
	"github.com/pintle-io/pintle/kernel/apiserver/health"
	"github.com/pintle-io/pintle/kernel/apiserver/proxy"
	"github.com/pintle-io/pintle/kernel/apiserver/render"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/fairness"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
)

// Check is one health check.
type Check = health.Check

// Config is what a Server is made of.
type Config struct {
	Registry registry.Access
	Catalog  *resource.Catalog
	Codec    Codec
	// Reader serves the look-ups of connect hooks (a pod's node, for example).
	Reader resource.Reader

	// CatchUp returns when the catalog has the kinds that were defined before the
	// call. It is asked before a resource is said not to be there, and before
	// documents tell what there is. Nil: nobody defines any.
	CatchUp func(ctx context.Context) error

	// Aggregation knows what other servers have; nil: nobody has anything.
	Aggregation *aggregation.Aggregator

	// AdmitConnect asks the admission rules about a connect request (exec,
	// attach, port-forward, proxy) before it is sent on. Nil asks nobody.
	AdmitConnect func(ctx context.Context, u user.Info, t registry.Target, options runtime.Object) error

	// Authenticator finds the user of a request. Nil makes everybody
	// system:anonymous.
	Authenticator authenticator.Request
	// Audiences of the tokens that this server accepts.
	Audiences authenticator.Audiences
	// Authorizer is asked once for every request.
	Authorizer authorizer.UnconditionalAuthorizer

	// Fairness gives requests their turn. Nil bounds how many are executed at once,
	// for all alike; see Limits.
	Fairness *fairness.Control

	// Audit records requests. Nil records none.
	Audit *audit.Auditor

	// NodeTLS authenticates this server to node agents; RootCAs verifies them.
	// Nil refuses connect requests to nodes.
	NodeTLS *tls.Config
	// Dial connects to the targets of connect requests. Nil dials directly.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)

	// Checks are asked by /livez and /readyz.
	Checks []Check
	// OIDCDiscovery and JWKS serve /.well-known/openid-configuration and
	// /openid/v1/jwks. Nil answers 404.
	OIDCDiscovery, JWKS func() ([]byte, error)
	// Paths are more handlers of paths outside the API, by exact path. They
	// stand behind authorization like every other path.
	Paths map[string]http.Handler
	// Profiling serves /debug/pprof and everything below, behind
	// authorization. Nil answers 404.
	Profiling http.Handler

	// Metrics takes the server's metrics and is what /metrics shows. Nil makes
	// a registry of its own.
	Metrics *prometheus.Registry
	// Version is what /version answers; zero fields get the served level.
	Version version.Info
	Log     *slog.Logger

	Limits Limits
}

// Limits bound what clients may ask. Zero fields take the defaults; those of
// upstream where it has the limit.
//
// The numbers in flight are for each of two levels: node agents with leader
// election, and everybody else. One tenant has at most half of the latter, a
// node a quarter of the former; see package flow. With priority and fairness
// ReadInFlight and WriteInFlight together are the seats of all levels.
type Limits struct {
	BodyBytes           int64         // of a request; 0 means 3 MiB
	BodyTimeout         time.Duration // in which a request's body must have come; 0 means 30 s
	ReadInFlight        int           // short reading requests being executed; 0 means 400
	WriteInFlight       int           // short writing requests being executed; 0 means 200
	BodiesInFlight      int           // bodies that are coming in; 0 means 800
	AnswersInFlight     int           // answers going out beyond those that hold a slot; 0 means 800
	BodyBytesInFlight   int64         // of all bodies, from when they come until the answer is sent; 0 means 64 MiB, one tenant has a quarter
	DecodeBytesInFlight int64         // memory that decoding bodies takes, as estimated; 0 means 512 MiB, one tenant has half
	WatchBytesInFlight  int64         // of watch events that are being written to slow clients; 0 means 128 MiB
	RequestTimeout      time.Duration // of requests that do not stream; 0 means 60 s
	MinWatchTimeout     time.Duration // a watch without timeoutSeconds lasts one to two of these; 0 means 30 min
	ShutdownDelay       time.Duration // between failing /readyz and closing; 0 means none
	ShutdownTimeout     time.Duration // for requests in flight; 0 means 60 s
}

// Codec is what the server needs of resource.Codec.
type Codec interface {
	handlers.Codec
	render.Codec
}

// Seats is how many requests are executed at once, with the defaults of fields that
// are zero.
func (l Limits) Seats() int {
	l.setDefaults()
	return l.ReadInFlight + l.WriteInFlight
}

func (c *Config) authorization() auth.Authorization {
	return auth.Authorization{Authorizer: c.Authorizer, Log: c.Log}
}

func (c *Config) validate() error {
	switch {
	case c.Registry == nil:
		return errors.New("apiserver: no registry")
	case c.Catalog == nil:
		return errors.New("apiserver: no catalog")
	case c.Codec == nil:
		return errors.New("apiserver: no codec")
	case c.Authorizer == nil:
		return errors.New("apiserver: no authorizer")
	}
	return nil
}

func (c *Config) setDefaults() {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Metrics == nil {
		c.Metrics = prometheus.NewRegistry()
	}
	if c.Dial == nil {
		c.Dial = proxy.Dialer().DialContext
	}
	c.Limits.setDefaults()
	v := &c.Version
	setDefault(&v.Major, served.Major())
	setDefault(&v.Minor, served.Minor())
	setDefault(&v.GitVersion, served.Git())
	setDefault(&v.EmulationMajor, v.Major)
	setDefault(&v.EmulationMinor, v.Minor)
	setDefault(&v.MinCompatibilityMajor, v.Major)
	setDefault(&v.MinCompatibilityMinor, before(v.Minor))
}

func (l *Limits) setDefaults() {
	setDefault(&l.BodyBytes, 3<<20)
	setDefault(&l.BodyTimeout, 30*time.Second)
	setDefault(&l.ReadInFlight, 400)
	setDefault(&l.WriteInFlight, 200)
	setDefault(&l.BodiesInFlight, 800)
	setDefault(&l.AnswersInFlight, 800)
	setDefault(&l.BodyBytesInFlight, 64<<20)
	setDefault(&l.DecodeBytesInFlight, 512<<20)
	setDefault(&l.WatchBytesInFlight, 128<<20)
	setDefault(&l.RequestTimeout, 60*time.Second)
	setDefault(&l.MinWatchTimeout, 30*time.Minute)
	setDefault(&l.ShutdownTimeout, 60*time.Second)
}

// before is the minor version before one: upstream's components get on with those
// of it. "" where that is no number above 0.
func before(minor string) string {
	n, err := strconv.Atoi(strings.TrimRight(minor, "+"))
	if err != nil || n == 0 {
		return ""
	}
	return strconv.Itoa(n - 1)
}

func setDefault[T comparable](p *T, v T) {
	var zero T
	if *p == zero {
		*p = v
	}
}
