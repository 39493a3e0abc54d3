package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/version"

	pintleversion "github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel/admission/cel"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/custom"
	"github.com/pintle-io/pintle/kernel/keystore"
	"github.com/pintle-io/pintle/kernel/reclaim"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/scheduler"
)

func versionInfo() version.Info {
	return version.Info{Major: pintleversion.Major(), Minor: pintleversion.Minor(), GitVersion: pintleversion.Git(), GitCommit: pintleversion.Commit, GitTreeState: "clean",
		BuildDate: "1970-01-01T00:00:00Z", GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: pintleversion.Platform()}
}

// makeLeader makes what one server does for all.
func (k *Kernel) makeLeader(context.Context) error {
	k.leader = newLeader(leaderConfig{own: ownWrites{k.access.As(auth.LeaderElection)}, identity: k.identity.Name, informers: k.informers, times: k.c.Lease, begin: k.term,
		refused: k.plugins.refused, log: k.c.Log})
	transport := &http.Transport{TLSClientConfig: k.pki.AdminTLS(), MaxIdleConns: 4, IdleConnTimeout: time.Minute, ForceAttemptHTTP2: true}
	k.explainer = &explainer{leader: k.leader, servers: k.access.As(auth.Endpoints), client: &http.Client{Transport: transport}}
	return k.metrics.Register(k.leader)
}

// term makes the parts of one term of this server as the leader.
func (k *Kernel) term() (*term, error) {
	t := &term{metrics: prometheus.NewRegistry()}
	var err error
	t.manager, err = reconcile.New(reconcile.Config{Registry: k.access.As(auth.ControllerManager), Catalog: k.catalog, Codec: k.codec, Metrics: t.metrics, Informers: k.informers, Log: k.c.Log})
	if err != nil {
		return nil, err
	}
	t.scheduler, err = scheduler.New(scheduler.Config{Registry: k.access.As(auth.Scheduler), Metrics: t.metrics, Informers: k.informers, Log: k.c.Log})
	if err != nil {
		return nil, err
	}
	agg := &rbac.Aggregator{Registry: k.access.As(auth.RoleAggregator), Informers: k.informers, Log: k.c.Log}
	sign := signer.New(signer.Config{Registry: k.access.As(auth.CertificateController), Tokens: k.access.As(auth.TokenCleaner), CA: k.pki, Authorizer: k.auth.Authorizer, Clock: k.c.Adjust.Clock, Informers: k.informers, Log: k.c.Log})
	checked := &cel.Status{Registry: k.access.As(auth.PolicyStatus), Catalog: k.catalog, Informers: k.informers, Log: k.c.Log}
	t.loops = map[string]loop{"role aggregation": agg.Run, "signer": sign.Run, "server tokens": k.keys.Run, "policy status": checked.Run}
	if k.aggregation != nil {
		t.loops["APIServices"] = k.aggregation.Lead
	}
	if k.custom != nil {
		t.loops["custom definitions"] = custom.NewController(custom.ControllerConfig{Registry: k.access.As(auth.APIServer), Codec: k.codec, Informers: k.informers, Log: k.c.Log}).Run
	}
	return t, nil
}

// Run serves until ctx ends, then stops everything in order. ready is called
// once the API answers, the cluster has what every cluster has, its policies
// are asked, and /readyz says so.
func (k *Kernel) Run(ctx context.Context, ready func()) error {
	// The cache outlives the servers, the store outlives the cache, and what was read
	// from key services since a reload is needed to the last read.
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	cacheDone := make(chan error, 1)
	go func() { cacheDone <- k.cache.Run(base) }()
	reading, stopReading := context.WithCancel(context.WithoutCancel(ctx))
	sealed := make(chan error, 1)
	go func() { sealed <- k.sealing.Run(reading) }()
	err := k.serve(ctx, ready, cacheDone)
	stopBase()
	stopReading()
	err = errors.Join(err, <-sealed)
	if errors.Is(err, ErrStoreFailed) {
		_ = k.Close() // of a member that failed, a part may not end: that is no news
		return err
	}
	return errors.Join(err, k.Close())
}

// StoreFailed is closed when the embedded etcd has failed: Run is about to
// return, and the process to end.
func (k *Kernel) StoreFailed() <-chan struct{} { return k.storage.failed }

func (k *Kernel) serve(ctx context.Context, ready func(), cacheDone <-chan error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		err := k.storage.follow(ctx)
		if err != nil {
			k.api.Abort() // requests in flight wait for what does not come
		}
		return err
	})
	group.Go(func() error {
		select {
		case err := <-cacheDone:
			return fmt.Errorf("watch cache: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	first := newFirstObjects(ownWrites{k.access.As(auth.APIServer)}, ownWrites{k.access.As(auth.Endpoints)}, k.identity.Name, &k.c)
	first.trust = newTrust(first.own, k.pki, k.c.Table)
	if k.c.Table.Lookup(configMaps.GroupResource()) != nil {
		first.tracking = tracking(k)
	}
	go func() { _, _ = first.policy() }() // read while the cache loads; ensure has the error
	select {
	case <-k.cache.Ready():
	case <-ctx.Done():
		return group.Wait()
	}
	for _, l := range k.c.Listeners {
		group.Go(func() error { return k.api.Run(ctx, l, k.auth.ServerTLS(k.pki.ServerTLS())) })
	}
	if err := first.ensure(ctx); err != nil {
		if ctx.Err() != nil { // one of the others ended it, or whoever called
			return group.Wait()
		}
		group.Go(func() error { return fmt.Errorf("first objects: %w", err) })
		return group.Wait()
	}
	k.c.Progress("api", "https://%s, Kubernetes %s", k.c.Listeners[0].Addr(), pintleversion.Kubernetes)
	for name, run := range k.loops(first) {
		group.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	// No policy is waited for any more, and nothing that a request is answered by.
	if all(ctx, k.plugins.loader.Decided(), k.dynamic.admits) && started(ctx, k) && ready != nil {
		ready()
	}
	// Requests are asked about to the last one.
	err := errors.Join(group.Wait(), k.plugins.policies.Close(), k.plugins.scheduling.Close())
	if k.converts != nil {
		err = errors.Join(err, k.converts.Close())
	}
	return err
}

// startPatience is how long whoever waits for the server waits for k.starts. One object that
// cannot be read must not keep a node from its start; /readyz goes on to say what is
// missing.
const startPatience = 30 * time.Second

// started waits for k.starts, within startPatience. It is false when ctx ends.
func started(ctx context.Context, k *Kernel) bool {
	bounded, cancel := context.WithTimeout(ctx, startPatience)
	defer cancel()
	var missing []string
	for _, s := range k.starts {
		if !all(bounded, s.over()) {
			missing = append(missing, s.name)
		}
	}
	if ctx.Err() != nil {
		return false
	}
	if len(missing) > 0 {
		k.c.Log.Warn("not everything that is stored could be read; the server begins without it, and /readyz says so", "checks", missing)
	}
	return true
}

// loops are the long-lived parts that every server runs beside the API server.
// What only one server may do is the leader's: see [Kernel.term].
func (k *Kernel) loops(first *firstObjects) map[string]loop {
	loops := map[string]loop{
		"leader":         k.leader.Run,
		"certificates":   k.pki.Run,
		"authentication": k.auth.Run,
		"authorization":  k.auth.Authorizer.Run,
		"keys":           k.keys.Watch,
		"plugins": func(ctx context.Context) error {
			return k.plugins.run(ctx, func() { k.c.Progress("plugins", "%d built in", len(k.c.Builtins)) })
		},
		"policies": k.dynamic.policies.Run,
		"webhooks": k.dynamic.webhooks.Run,
		"admission": func(ctx context.Context) error {
			k.dynamic.admit(ctx, k.plugins.loader.Admitting())
			return nil
		},
		"first objects": first.keep,
		"memory":        k.reclaim,
		"collector":     func(ctx context.Context) error { return reclaim.Pace(ctx, reclaim.PaceConfig{}) },
	}
	if k.storage.keeper != nil {
		loops["database"] = k.storage.keeper.Run
	}
	if k.agents != nil {
		loops["node ranges"] = func(ctx context.Context) error {
			k.agents.Run(ctx, k.access.As(auth.APIServer), k.informers, k.c.Log)
			return nil
		}
	}
	if k.custom != nil {
		loops["custom kinds"] = k.custom.Run
	}
	if k.fairness != nil {
		loops["fairness"] = k.fairness.Run
	}
	if k.aggregation != nil {
		loops["aggregation"] = k.aggregation.Run
	}
	return loops
}

// reclaim gives back what a start or a storm needed and nobody needs any more.
func (k *Kernel) reclaim(ctx context.Context) error {
	select {
	case <-k.PluginsSynced():
	case <-ctx.Done():
		return nil
	}
	held := func() int {
		s := k.cache.Stats()
		return s.HistoryBytes + s.ReadyBytes
	}
	trim := func() {
		k.core.Trim()
		k.plugins.policies.Trim()
		k.plugins.scheduling.Trim()
		if k.converts != nil {
			k.converts.Trim()
		}
	}
	return reclaim.New(reclaim.Config{Trim: trim, Held: held, Log: k.c.Log}).Run(ctx)
}

// paths are this kernel's own HTTP paths, beside the API.
func (k *Kernel) paths() map[string]http.Handler {
	paths := map[string]http.Handler{explainPath: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { k.explainer.ServeHTTP(w, r) })}
	var endpoints []string
	if k.c.Etcd != nil {
		endpoints = k.c.Etcd.Endpoints
	}
	paths[keystore.TokensPath] = k.keys.Handler(endpoints)
	if k.storage.keeper != nil {
		maps.Copy(paths, k.storage.keeper.Handlers())
	}
	return paths
}

// Leads reports whether this server does what one does for all.
func (k *Kernel) Leads() bool { return k.leader.elector.Leads() }
