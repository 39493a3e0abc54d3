package kernel

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"runtime"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/version"

	pintleversion "github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/kernel/auth"
	"github.com/pintle-io/pintle/kernel/auth/rbac"
	"github.com/pintle-io/pintle/kernel/auth/signer"
	"github.com/pintle-io/pintle/kernel/reclaim"
	"github.com/pintle-io/pintle/kernel/reconcile"
	"github.com/pintle-io/pintle/kernel/scheduler"
)

func versionInfo() version.Info {
	return version.Info{Major: "1", Minor: "37", GitVersion: pintleversion.Git(), GitCommit: pintleversion.Commit, GitTreeState: "clean",
		BuildDate: "1970-01-01T00:00:00Z", GoVersion: runtime.Version(), Compiler: runtime.Compiler, Platform: pintleversion.Platform()}
}

// makeLoops makes what acts by itself.
func (k *Kernel) makeLoops(context.Context) error {
	var err error
	k.manager, err = reconcile.New(reconcile.Config{Registry: k.access.As(auth.ControllerManager), Catalog: k.catalog, Codec: k.codec, Metrics: k.metrics, Informers: k.informers, Log: k.c.Log})
	if err != nil {
		return err
	}
	k.sched, err = scheduler.New(scheduler.Config{Registry: k.access.As(auth.Scheduler), Metrics: k.metrics, Informers: k.informers, Log: k.c.Log})
	if err != nil {
		return err
	}
	return k.makeLoader()
}

// Run serves until ctx ends, then stops everything in order. ready is called
// once the API answers, the cluster has what every cluster has, and its policies
// are asked.
func (k *Kernel) Run(ctx context.Context, ready func()) error {
	// The cache outlives the servers, the store outlives the cache.
	base, stopBase := context.WithCancel(context.WithoutCancel(ctx))
	defer stopBase()
	cacheDone := make(chan error, 1)
	go func() { cacheDone <- k.cache.Run(base) }()
	err := k.serve(ctx, ready, cacheDone)
	stopBase()
	if errors.Is(err, ErrStoreFailed) {
		_ = k.Close() // of a member that failed, a part may not end: that is no news
		return err
	}
	return errors.Join(err, k.Close())
}

// ErrStoreFailed: the embedded etcd met a fault that it does not recover from,
// such as a full disk. What it acknowledged is on the disk.
var ErrStoreFailed = errors.New("the embedded etcd failed")

// followStore returns when the embedded etcd has failed. Nothing works without
// it, and it does not come back in this process.
func (k *Kernel) followStore(ctx context.Context) error {
	if k.embed == nil {
		return nil
	}
	select {
	case err, failed := <-k.embed.Err():
		if !failed { // it was closed
			return nil
		}
		close(k.storeFailed)
		k.api.Abort() // requests in flight wait for what does not come
		return fmt.Errorf("%w: %w", ErrStoreFailed, err)
	case <-ctx.Done():
		return nil
	}
}

// StoreFailed is closed when the embedded etcd has failed: Run is about to
// return, and the process to end.
func (k *Kernel) StoreFailed() <-chan struct{} { return k.storeFailed }

func (k *Kernel) serve(ctx context.Context, ready func(), cacheDone <-chan error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return k.followStore(ctx) })
	group.Go(func() error {
		select {
		case err := <-cacheDone:
			return fmt.Errorf("watch cache: %w", err)
		case <-ctx.Done():
			return nil
		}
	})
	select {
	case <-k.cache.Ready():
	case <-ctx.Done():
		return group.Wait()
	}
	for _, l := range k.c.Listeners {
		group.Go(func() error { return k.api.Run(ctx, l, k.serverTLS()) })
	}
	if err := k.bootstrap(ctx); err != nil {
		if ctx.Err() != nil { // one of the others ended it, or whoever called
			return group.Wait()
		}
		group.Go(func() error { return fmt.Errorf("first objects: %w", err) })
		return group.Wait()
	}
	k.c.Progress("api", "https://%s, Kubernetes %s", k.c.Listeners[0].Addr(), pintleversion.Kubernetes)
	for name, run := range k.loops() {
		group.Go(func() error {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			return nil
		})
	}
	if !k.decided(ctx) && ready != nil {
		ready()
	}
	// Requests are asked about to the last one.
	return errors.Join(group.Wait(), k.policies.Close())
}

// loops are the long-lived parts beside the API server.
func (k *Kernel) loops() map[string]func(context.Context) error {
	agg := &rbac.Aggregator{Registry: k.access.As(auth.RoleAggregator), Informers: k.informers, Log: k.c.Log}
	sign := signer.New(signer.Config{Registry: k.access.As(auth.CertificateController), Tokens: k.access.As(auth.TokenCleaner), CA: k.pki, Authorizer: k.authz, Informers: k.informers, Log: k.c.Log})
	loops := map[string]func(context.Context) error{
		"certificates":     k.pki.Run,
		"role aggregation": agg.Run,
		"signer":           sign.Run,
		"controllers":      k.manager.Run,
		"scheduler":        k.sched.Run,
		"plugins":          k.runLoader,
		"first objects":    k.keep,
		"memory":           k.reclaim,
		"collector":        func(ctx context.Context) error { return reclaim.Pace(ctx, reclaim.PaceConfig{}) },
	}
	if k.keeper != nil {
		loops["database"] = k.keeper.Run
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
		k.policies.Trim()
	}
	return reclaim.New(reclaim.Config{Trim: trim, Held: held, Log: k.c.Log}).Run(ctx)
}

// paths are this kernel's own HTTP paths, beside the API.
func (k *Kernel) paths() map[string]http.Handler {
	paths := map[string]http.Handler{"/explain/pods": http.HandlerFunc(k.explainPod)}
	if k.keeper != nil {
		maps.Copy(paths, k.keeper.Handlers())
	}
	return paths
}
