package kernel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/apiserver/pkg/authentication/authenticator"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/review"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/plugin/admit"
	"github.com/pintle-io/pintle/kernel/plugin/author"
	"github.com/pintle-io/pintle/kernel/plugin/loader"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/scheduler"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/embed"
	"github.com/pintle-io/pintle/kernel/store/maintain"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Kernel is a control plane.
type Kernel struct {
	c       Config
	closers []io.Closer // in order of opening
	pki     *pki.PKI
	// unreachable warns once that pods cannot reach the server.
	unreachable sync.Once
	store       store.Store
	cache       *watch.Cache
	catalog     *resource.Catalog
	codec       *resource.Codec
	chain       *admission.Chain
	core        *registry.Core // asks no authorizer: for the edge and plugins, which have been asked
	access      *auth.Access   // core for components of this process
	authz       auth.Authorizers
	rbac        *rbac.Authorizer
	api         *apiserver.Server
	manager     *reconcile.Manager
	sched       *scheduler.Scheduler
	loader      *loader.Loader
	modules     *modules.Store
	policies    *admit.Sink
	metrics     *prometheus.Registry
	informers   *informer.Metrics
	embed       *embed.Server    // nil with an external etcd, like keeper
	keeper      *maintain.Keeper // of the embedded store's space
	storeFailed chan struct{}    // closed when embed has failed
}

// New opens the store and the keys and puts the parts together. Nothing is
// served before Run. Close what New returned when Run is not called.
//
// # Errors
//   - embed.ErrInUse, embed.ErrCorrupt, store.ErrNoSpace and others of the store
func New(ctx context.Context, c Config) (*Kernel, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.setDefaults()
	k := &Kernel{c: c, metrics: prometheus.NewRegistry(), informers: informer.NewMetrics(), storeFailed: make(chan struct{})}
	k.metrics.MustRegister(k.informers, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{k.openKeys, k.openStore, k.makeRegistry, k.makeAPI, k.makeLoops} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, k.Close())
		}
	}
	return k, nil
}

// Close releases what New opened, last first.
func (k *Kernel) Close() error {
	var errs []error
	for i := len(k.closers) - 1; i >= 0; i-- {
		errs = append(errs, k.closers[i].Close())
	}
	k.closers = nil
	return errors.Join(errs...)
}

// PKI holds the cluster's keys.
func (k *Kernel) PKI() *pki.PKI { return k.pki }

// Access serves the verbs to components in this process, authorized like clients.
func (k *Kernel) Access() registry.Access { return k.access }

// Catalog holds the kinds that are served. Producers add to it and take away
// while the kernel runs.
func (k *Kernel) Catalog() *resource.Catalog { return k.catalog }

func (k *Kernel) openKeys(context.Context) error {
	p, err := pki.Open(pki.Config{Dir: k.c.path("pki"), DNSNames: k.c.Names, IPs: k.c.IPs, Log: k.c.Log})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	k.pki = p
	k.c.Progress("certificates", "%s", k.c.path("pki"))
	return nil
}

func (k *Kernel) openStore(ctx context.Context) error {
	if k.c.Etcd != nil {
		s, err := store.Dial(ctx, *k.c.Etcd)
		if err != nil {
			return err
		}
		k.store = s
		k.closers = append(k.closers, s)
		k.c.Progress("etcd", "external, %v", k.c.Etcd.Endpoints)
		return nil
	}
	e, err := embed.Start(ctx, embed.Config{Dir: k.c.path("etcd"), Marker: k.c.path("etcd-initialized"), Quota: k.c.EtcdQuota, UnsafeNoFsync: k.c.UnsafeNoFsync, Log: k.c.Log})
	if err != nil {
		return err
	}
	k.embed = e
	k.store = e.Store()
	k.keeper = maintain.New(maintain.Config{DB: e, Revision: k.store.Revision, Log: k.c.Log})
	k.closers = append(k.closers, e, k.store)
	rev, err := k.store.Revision(ctx)
	if err != nil {
		return err
	}
	k.c.Progress("etcd", "embedded, revision %d", rev)
	return nil
}

// makeRegistry joins store, cache, registry and everything that decides about
// requests.
func (k *Kernel) makeRegistry(context.Context) error {
	k.catalog = resource.NewCatalog(k.c.Table)
	k.codec = resource.NewCodec(k.catalog)
	k.cache = watch.New(watch.Config{Store: k.store, Catalog: k.catalog, Decode: k.codec.Decode, Log: k.c.Log})
	reader := auth.LateReader(func() resource.Reader { return k.core.Reader() })
	k.rbac = rbac.New(reader)
	rules, err := rbac.NodeRules()
	if err != nil {
		return err
	}
	k.authz = auth.Authorizers{node.NewAuthorizer(reader, rules), k.rbac}
	tokens, err := token.New(token.Config{Key: k.pki.ServiceAccountKey(), Reader: reader})
	if err != nil {
		return err
	}
	k.chain = &admission.Chain{}
	k.chain.Set("node-restriction", -1000, admission.Rule{Validate: &node.Restriction{Reader: reader, Authorizer: k.authz}})
	k.chain.Set("external-ips", -1000, admission.Rule{Validate: &externalip.Rule{Config: k.externalIPs(), Reader: reader}})
	escalation := rbac.NewEscalation(k.rbac, k.authz)
	k.chain.Set("rbac-escalation", -1000, admission.Rule{Validate: escalation})
	k.chain.Set("plugin-author", -1000, admission.Rule{Validate: author.New(escalation, k.authz)})
	k.chain.Set("certificate-permissions", -1000, admission.Rule{Validate: &signer.Permissions{Authorizer: k.authz, Reader: reader}})
	known := []authenticator.Token{tokens, &auth.BootstrapTokens{Reader: reader}}
	authn := auth.New(auth.Config{ClientCAs: k.pki.Pool(), Tokens: known})
	k.metrics.MustRegister(cacheMetrics{k.cache})
	k.core, err = registry.New(registry.Config{
		Catalog: k.catalog, Codec: k.codec, Store: k.store, Cache: k.cache, Admission: k.chain, Log: k.c.Log,
		Actions: map[string]registry.Action{"serviceaccounts/token": tokens.Request},
		Virtual: review.Handlers(review.Config{Tokens: authn, Audiences: tokens.Audiences(), Authorizer: k.authz, Rules: k.rbac}),
	})
	if err != nil {
		return err
	}
	k.access = &auth.Access{Registry: k.core, Authorizer: k.authz}
	k.api, err = apiserver.New(apiserver.Config{
		Registry: k.core, Catalog: k.catalog, Codec: k.codec, Reader: k.core.Reader(),
		AdmitConnect:  k.core.AdmitConnect,
		Authenticator: authn, Audiences: tokens.Audiences(), Authorizer: k.authz,
		NodeTLS: k.pki.KubeletTLS(), Dial: k.c.Dial,
		OIDCDiscovery: func() ([]byte, error) { return tokens.Discovery(token.DefaultIssuer + "/openid/v1/jwks") }, JWKS: tokens.JWKS,
		Checks: k.checks(),
		Paths:  k.paths(), Profiling: k.c.Profiling,
		Metrics: k.metrics, Version: versionInfo(), Log: k.c.Log,
	})
	return err
}

// makeAPI fails early on what TLS needs.
func (k *Kernel) makeAPI(context.Context) error {
	if t := k.serverTLS(); t == nil {
		return errors.New("kernel: no serving certificate")
	}
	return nil
}

func (k *Kernel) serverTLS() *tls.Config { return k.pki.ServerTLS() }

func (k *Kernel) checks() []apiserver.Check {
	checks := []apiserver.Check{{Name: "etcd", Check: k.checkStore}, {Name: "watch-cache", ReadyOnly: true, Check: k.checkCache},
		{Name: "policies", ReadyOnly: true, Check: k.checkPolicies}}
	if k.keeper != nil {
		checks = append(checks, apiserver.Check{Name: "etcd-quota", ReadyOnly: true, Check: k.keeper.Check})
	}
	return checks
}

func (k *Kernel) checkStore(ctx context.Context) error {
	_, err := k.store.Revision(ctx)
	return err
}

func (k *Kernel) checkCache(context.Context) error {
	select {
	case <-k.cache.Ready():
		return nil
	default:
		return errors.New("the watch cache is still loading")
	}
}

// externalIPs are the rules for external addresses of Services, with all at
// which this server is reached.
func (k *Kernel) externalIPs() externalip.Config {
	c := k.c.ExternalIPs
	c.Servers = append(c.Servers, k.c.Advertise.Addr().Unmap())
	for _, ip := range k.c.IPs {
		if a, ok := netip.AddrFromSlice(ip); ok {
			c.Servers = append(c.Servers, a.Unmap())
		}
	}
	return c
}
