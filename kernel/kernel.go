package kernel

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/storage/value"

	"github.com/pintle-io/pintle/kernel/admission"
	"github.com/pintle-io/pintle/kernel/apiserver"
	"github.com/pintle-io/pintle/kernel/apiserver/aggregation"
	"github.com/pintle-io/pintle/kernel/audit"
	"github.com/pintle-io/pintle/kernel/audit/inprocess"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/assembly"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
	"github.com/pintle-io/pintle/kernel/auth/node"
	"github.com/pintle-io/pintle/kernel/auth/pki"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/review"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/auth/token"
	"github.com/pintle-io/pintle/kernel/batch"
	"github.com/pintle-io/pintle/kernel/custom"
	"github.com/pintle-io/pintle/kernel/egress/nodes"
	"github.com/pintle-io/pintle/kernel/fairness"
	"github.com/pintle-io/pintle/kernel/informer"
	"github.com/pintle-io/pintle/kernel/keystore"
	"github.com/pintle-io/pintle/kernel/plugin/author"
	"github.com/pintle-io/pintle/kernel/plugin/convert"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Kernel is a control plane.
type Kernel struct {
	c        Config
	closers  []io.Closer // in order of opening
	identity *identity
	keys     *keystore.Keystore
	pki      *pki.PKI
	storage  *storage
	sealing  *encrypted.Providers
	cache    *watch.Cache
	catalog  *resource.Catalog
	codec    *resource.Codec
	chain    *admission.Chain
	custom   *custom.Kinds     // nil: the table does not have CustomResourceDefinitions
	converts *convert.Sink     // nil as custom
	core     *registry.Core    // asks no authorizer: for the edge and plugins, which have been asked
	verbs    registry.Access   // core for plugins, whose permissions are asked for; recorded
	access   registry.Access   // core for components of this process; authorized and recorded
	audit    *audit.Auditor    // nil: nothing is recorded
	agents   *nodes.Agents     // nil: pods are dialled directly
	fairness *fairness.Control // nil: the table lacks its kinds, or it is switched off
	auth     Auth
	api      *apiserver.Server

	// aggregation is nil if the table does not have APIServices.
	aggregation *aggregation.Aggregator

	leader    *leader // what one server does for all
	explainer *explainer
	starts    []start // of which /readyz tells
	plugins   plugins
	dynamic   dynamicAdmission

	metrics   *prometheus.Registry
	informers *informer.Metrics
}

// Auth is what decides who asks and what he may.
type Auth = *assembly.Auth

// New opens the store and the keys and puts the parts together. Nothing is
// served before Run. Close what New returned when Run is not called.
//
// # Errors
//   - ErrInUse
//   - embed.ErrInUse, embed.ErrCorrupt, store.ErrNoSpace and others of the store
//   - keystore.ErrNoToken, keystore.ErrNoIdentity, keystore.ErrWrongToken,
//     keystore.ErrOtherKeys, keystore.ErrReplaced
func New(ctx context.Context, c Config) (*Kernel, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	c.setDefaults()
	k := &Kernel{c: c, metrics: prometheus.NewRegistry(), informers: informer.NewMetrics()}
	if err := openAudit(k); err != nil {
		return nil, err
	}
	k.metrics.MustRegister(k.informers, encrypted.Collector{}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, step := range []func(context.Context) error{k.openIdentity, k.openStore, k.openKeys, k.makeBuiltins, k.makeRegistry, k.makeLeader, k.makePlugins} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, k.Close())
		}
	}
	if err := makeDynamicAdmission(k); err != nil {
		return nil, errors.Join(err, k.Close())
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

// openAudit opens the audit log: before all else, so that a bad policy is told at
// once, and closed after all else.
func openAudit(k *Kernel) (err error) {
	k.audit, err = audit.Open(audit.Config{Options: k.c.Audit, Carriers: []schema.GroupResource{v1alpha1.Batches.GroupResource()}, Dial: k.c.Dial, Metrics: k.metrics, Clock: k.c.Adjust.Clock, Backend: k.c.Adjust.Audit, Log: k.c.Log})
	k.closers = append(k.closers, k.audit)
	return err
}

// PKI holds the cluster's keys.
func (k *Kernel) PKI() *pki.PKI { return k.pki }

// Access serves the verbs to components in this process, authorized like clients.
func (k *Kernel) Access() registry.Access { return k.access }

// Reader reads objects from the watch cache.
func (k *Kernel) Reader() resource.Reader { return k.core.Reader() }

// Auth answers who asks and what he may.
func (k *Kernel) Auth() Auth { return k.auth }

// API is the HTTP edge, which Run serves.
func (k *Kernel) API() *apiserver.Server { return k.api }

// Catalog holds the kinds that are served. Producers add to it and take away
// while the kernel runs.
func (k *Kernel) Catalog() *resource.Catalog { return k.catalog }

func (k *Kernel) openIdentity(context.Context) (err error) {
	if k.identity, err = openIdentity(k.c.Dir); err != nil {
		return err
	}
	k.closers = append(k.closers, k.identity)
	return openAuth(k)
}

// openAuth reads who is known and who decides, before the store is opened. What is
// dialled may be a pod of this cluster, once it is known how.
func openAuth(k *Kernel) error {
	a, err := assembly.Open(assembly.Config{Authentication: k.c.Authentication, Authorization: k.c.Authorization, Server: k.identity.Name, Reader: lateReader(k),
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return k.c.Dial(ctx, network, address)
		}, NoteUse: noteTokenUse(k), Metrics: k.metrics, Log: k.c.Log})
	if err != nil {
		return err
	}
	k.auth = a
	k.closers = append(k.closers, a)
	return nil
}

// lateReader reads what the registry has, once there is one.
func lateReader(k *Kernel) auth.LateReader {
	return func() resource.Reader { return k.core.Reader() }
}

// openKeys makes the directory hold the cluster's keys, which the store knows.
func (k *Kernel) openKeys(ctx context.Context) (err error) {
	dir := k.c.path("pki")
	k.keys, err = keystore.Open(ctx, keystore.Config{Store: k.storage, Dir: dir, Token: k.c.ServerToken, Replace: k.c.ReplaceKeys, Clock: k.c.Adjust.Clock, Log: k.c.Log})
	if err != nil {
		return err
	}
	p, err := pki.Open(pki.Config{Dir: dir, Keys: k.keys.Keys(), DNSNames: k.c.Names, IPs: k.c.IPs, Clock: k.c.Adjust.Clock, Log: k.c.Log})
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	k.pki = p
	k.c.Progress("certificates", "%s", dir)
	return nil
}

// makeBuiltins completes what ships with what depends on the cluster.
func (k *Kernel) makeBuiltins(context.Context) error {
	if k.c.BuiltinsFor == nil {
		return nil
	}
	more, err := k.c.BuiltinsFor(k.pki.CAPEM())
	k.c.Builtins = slices.Concat(k.c.Builtins, more)
	return err
}

func (k *Kernel) openStore(ctx context.Context) (err error) {
	if k.sealing, err = encrypted.Open(k.c.Encryption, k.identity.Name); err != nil {
		return err
	}
	k.closers = append(k.closers, k.sealing)
	if k.storage, err = openStorage(ctx, &k.c); err != nil {
		return err
	}
	k.closers = append(k.closers, k.storage)
	return nil
}

// makeRegistry joins store, cache, registry and everything that decides about
// requests.
func (k *Kernel) makeRegistry(context.Context) error {
	k.catalog = resource.NewCatalog(k.c.Table)
	k.codec = resource.NewCodec(k.catalog)
	objects := encrypted.Wrap(k.storage, transformers(k))
	caching := watch.Config{Store: objects, Catalog: k.catalog, Decode: k.codec.Decode, Log: k.c.Log}
	if adjust := k.c.Adjust.Cache; adjust != nil {
		adjust(&caching)
	}
	k.cache = watch.New(caching)
	k.metrics.MustRegister(cacheMetrics{k.cache})
	reader := lateReader(k)
	k.agents = k.c.egress(k.pki.KubeletTLS(), reader)
	err := k.auth.Complete(k.pki, k.c.Adjust.Clock)
	if err != nil {
		return err
	}
	k.chain = &admission.Chain{Metrics: admission.NewMetrics()}
	k.metrics.MustRegister(k.chain.Metrics)
	escalation := rbac.NewEscalation(k.auth.RBAC, k.auth.Authorizer)
	for name, rule := range map[string]admission.Validator{
		"node-restriction":        &node.Restriction{Reader: reader, Authorizer: k.auth.Authorizer},
		"external-ips":            &externalip.Rule{Config: externalIPs(&k.c), Reader: reader},
		"rbac-escalation":         escalation,
		"plugin-author":           author.New(escalation, k.auth.Authorizer),
		"certificate-permissions": &signer.Permissions{Authorizer: k.auth.Authorizer, Reader: reader},
	} {
		k.chain.Set(name, admission.OrderServer, admission.Rule{Validate: rule})
	}
	k.core, err = registry.New(registry.Config{
		Catalog: k.catalog, Codec: k.codec, Store: objects, Cache: k.cache, Admission: k.chain, Clock: k.c.Adjust.Clock, Log: k.c.Log,
		Actions:  map[string]registry.Action{"serviceaccounts/token": k.auth.Tokens.Request},
		Virtual:  virtual(k),
		Computed: computed(k, reader),
	})
	if err != nil {
		return err
	}
	recorder := inprocess.Recorder{Auditor: k.audit, Encode: func(obj runtime.Object, gv schema.GroupVersion) ([]byte, error) {
		return k.codec.Encode(obj, gv, runtime.ContentTypeJSON)
	}}
	k.verbs = recorder.Of(k.core)
	k.access = recorder.Of(&auth.Access{Registry: k.core, Authorizer: k.auth.Authorizer, Log: k.c.Log})
	if k.catalog.Lookup(custom.Definitions.GroupResource()) != nil {
		k.converts = convert.New(convert.Config{Synced: func() <-chan struct{} { return k.PluginsSynced() }, Log: k.c.Log})
		clients, err := conversionClients(k)
		if err != nil {
			return err
		}
		k.custom = custom.New(custom.Config{Catalog: k.catalog, Codec: k.codec, Registry: ownWrites{k.access.As(auth.APIServer)}, Clients: clients, Plugins: k.converts, Informers: k.informers, Log: k.c.Log})
	}
	k.aggregation = makeAggregation(k)
	return k.makeAPI()
}

// virtual are the resources that are answered and never stored.
func virtual(k *Kernel) map[schema.GroupResource]registry.Virtual {
	all := review.Handlers(review.Config{Tokens: k.auth.Authenticator, Audiences: k.auth.Tokens.Audiences(), Authorizer: k.auth.Authorizer, Rules: k.auth.Authorizer, Clock: k.c.Adjust.Clock})
	all[v1alpha1.Batches.GroupResource()] = batch.Handler(batch.Config{Registry: func() registry.Access { return k.core },
		Authorize: auth.Authorization{Authorizer: k.auth.Authorizer, Log: k.c.Log}.Check, Catalog: k.catalog, Codec: k.codec})
	return all
}

// transformers are those of keys' resources; what is no object is kept as it is.
func transformers(k *Kernel) encrypted.Choose {
	return func(key string) value.Transformer {
		if gr, ok := k.catalog.Snapshot().Owner(key); ok {
			return k.sealing.For(gr)
		}
		return nil
	}
}

func (k *Kernel) makeAPI() (err error) {
	tokens := k.auth.Tokens
	k.starts = starts(k)
	c := apiserver.Config{
		Registry: k.core, Catalog: k.catalog, Codec: k.codec, Reader: k.core.Reader(),
		Aggregation:   k.aggregation,
		AdmitConnect:  k.core.AdmitConnect,
		Authenticator: k.auth.Authenticator, Audiences: tokens.Audiences(), Authorizer: k.auth.Authorizer, Audit: k.audit,
		NodeTLS: k.pki.KubeletTLS(), Dial: k.c.Dial,
		OIDCDiscovery: func() ([]byte, error) { return tokens.Discovery(token.DefaultIssuer + "/openid/v1/jwks") }, JWKS: tokens.JWKS,
		Checks: k.checks(),
		Paths:  k.paths(), Profiling: k.c.Profiling,
		Metrics: k.metrics, Version: versionInfo(), Log: k.c.Log, Limits: k.c.Limits,
	}
	if k.custom != nil {
		c.CatchUp = k.custom.CatchUp
	}
	if adjust := k.c.Adjust.API; adjust != nil {
		adjust(&c)
	}
	if k.fairness = newFairness(k, c.Limits.Seats()); k.fairness != nil {
		c.Fairness = k.fairness
		maps.Copy(c.Paths, k.fairness.DebugPaths())
	}
	k.api, err = apiserver.New(c)
	return err
}

// fair tells whether requests wait for their turn.
func fair(k *Kernel) bool {
	for _, gr := range fairness.Implements() {
		if k.catalog.Lookup(gr) == nil {
			return false
		}
	}
	return !k.c.DisableFairness
}

// newFairness makes what gives requests their turn, as the server itself.
func newFairness(k *Kernel, seats int) *fairness.Control {
	if !fair(k) {
		return nil
	}
	return fairness.New(fairness.Config{Registry: ownWrites{k.access.As(auth.APIServer)}, Seats: seats, Wait: queueTime, Size: k.cache.Size,
		Informers: k.informers, Log: k.c.Log})
}

// queueTime is how long the beginning of a watch waits for its turn: upstream's quarter
// of the time that other requests have.
const queueTime = 15 * time.Second

// externalIPs are the rules for external addresses of Services, with all at
// which this server is reached.
func externalIPs(k *Config) externalip.Config {
	c := k.ExternalIPs
	c.Servers = append(c.Servers, k.Advertise.Addr().Unmap())
	for _, ip := range k.IPs {
		if a, ok := netip.AddrFromSlice(ip); ok {
			c.Servers = append(c.Servers, a.Unmap())
		}
	}
	return c
}
