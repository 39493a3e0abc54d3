package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/pintle-io/pintle/cmd/pintle/internal/profiling"
	"github.com/pintle-io/pintle/internal/images/build"
	imageregistry "github.com/pintle-io/pintle/internal/images/registry"
	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/auth/externalip"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/process"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/kernel/resource"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/node"
	"github.com/pintle-io/pintle/plugins/kinds"
	"github.com/pintle-io/pintle/plugins/kinds/core"
)

// ControlPlane is a control plane about to run.
type ControlPlane struct {
	s      *Server
	kernel *kernel.Kernel
	images *imageregistry.Registry
	push   *pushers
	wasm   *wasm.Host
}

// New opens everything that can fail early.
func (s *Server) New(ctx context.Context) (*ControlPlane, error) {
	if err := s.Validate(); err != nil {
		return nil, err
	}
	table, err := kinds.Table(kinds.Options{
		ServiceCIDRs: []netip.Prefix{s.Network.Services}, ForbidPrivileged: !s.AllowPrivileged,
	}, v1alpha1.Extend)
	if err != nil {
		return nil, err
	}
	p := &ControlPlane{s: s}
	seeded := make(chan struct{})
	go func() { // while the store opens
		defer close(seeded)
		s.seedModules()
	}()
	defer func() { <-seeded }()
	if p.wasm, err = wasm.New(ctx, wasm.Config{CacheDir: s.Dir.WASM(), Log: s.Log}); err != nil {
		return nil, err
	}
	procs, err := process.New(process.Config{Dir: string(s.Dir) + "/plugins", Unconfined: s.UnconfinedPlugins, Log: s.Log})
	if err != nil {
		return nil, err
	}
	p.push = newPushers(func() registry.Access { return p.kernel.Access() })
	if p.images, err = imageregistry.New(imageregistry.Config{Dir: s.Dir.Images(), Push: p.push.check, Log: s.Log}); err != nil {
		return nil, err
	}
	p.kernel, err = s.newKernel(ctx, table, map[v1alpha1.HostKind]plugin.Host{
		v1alpha1.HostWASM: p.wasm, v1alpha1.HostProcess: procs, v1alpha1.HostNative: native.Host{},
	})
	if err != nil {
		return nil, err
	}
	return p, p.writeKubeconfig()
}

// seedModules puts the compiled form of the built-in plugins where the WASM
// host looks for it. Without it they are compiled, which takes seconds.
func (s *Server) seedModules() {
	compiled, err := payload.Cache()
	if err == nil {
		err = wasm.Seed(s.Dir.WASM(), compiled)
	}
	if err != nil {
		s.Log.Warn("built-in plugins have to be compiled", "error", err)
	}
}

func (s *Server) newKernel(ctx context.Context, table *resource.Table, hosts map[v1alpha1.HostKind]plugin.Host) (*kernel.Kernel, error) {
	names, ips := s.names()
	c := kernel.Config{
		Dir: string(s.Dir), Table: table, Listeners: s.Listeners, Advertise: s.Advertise, ServiceIP: s.Network.KubernetesIP(),
		ServiceCIDRs: []netip.Prefix{s.Network.Services}, Names: names, IPs: ips, EtcdQuota: s.EtcdQuota, UnsafeNoFsync: s.UnsafeNoFsync, Hosts: hosts, BuiltinsFor: s.builtins,
		ServerToken: s.Token, ReplaceKeys: s.ReplaceKeys, DisabledPlugins: s.DisabledPlugins, Audit: s.Audit, Encryption: s.Encryption, Progress: s.Report.Done, Log: s.Log,
	}
	c.Founding = founding()
	c.Authentication, c.Authorization = &s.Authentication, &s.Authorization
	c.AgentOf, c.PodRanges = core.AgentOf, core.PodRanges
	c.DisableFairness = !s.InFlight.Fairness
	c.Limits.ReadInFlight, c.Limits.WriteInFlight = s.InFlight.Reads, s.InFlight.Writes
	c.Implementers = map[string][]schema.GroupResource{"node agents": node.Implements()}
	c.ExternalIPs = externalip.Config{Mode: s.ExternalIPs, Services: s.Network.Services, Pods: s.Network.Pods}
	if s.Profiling {
		c.Profiling = profiling.Handler()
	}
	if len(s.EtcdEndpoints) > 0 {
		c.Etcd = &store.DialConfig{Endpoints: s.EtcdEndpoints, CAFile: s.EtcdCA, CertFile: s.EtcdCert, KeyFile: s.EtcdKey}
	}
	return kernel.New(ctx, c)
}

// names are what the serving certificate is good for, beside the usual ones.
func (s *Server) names() ([]string, []net.IP) {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), s.Network.KubernetesIP().AsSlice(), s.Advertise.Addr().AsSlice()}
	for _, l := range s.Listeners {
		if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsUnspecified() {
			ips = append(ips, a.IP)
		}
	}
	return nil, ips
}

// URL is where this process and the local user reach the API server.
func (s *Server) URL() string {
	for _, l := range s.Listeners {
		if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsLoopback() {
			return "https://" + a.String()
		}
	}
	return "https://" + s.Advertise.String()
}

func (p *ControlPlane) writeKubeconfig() error {
	keys := p.kernel.PKI()
	return keys.WriteKubeconfig(p.s.Dir.AdminKubeconfig(), p.s.URL(), "admin", keys.Admin())
}

// Kernel is the control plane itself.
func (p *ControlPlane) Kernel() *kernel.Kernel { return p.kernel }

// Run serves until ctx ends. ready is called once the API answers and images
// can be pulled.
func (p *ControlPlane) Run(ctx context.Context, ready func()) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, l := range p.s.Registry {
		group.Go(func() error { return serveHTTP(ctx, l, p.imageHandler()) })
	}
	group.Go(func() error {
		return p.kernel.Run(ctx, func() {
			if err := p.pushImages(ctx); err != nil {
				p.s.Log.Error("push the images that ship", "error", err)
			}
			if ready != nil {
				ready()
			}
		})
	})
	err := group.Wait()
	return errors.Join(err, p.wasm.Close(context.WithoutCancel(ctx)))
}

func (p *ControlPlane) imageHandler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/v2/", p.images)
	mux.HandleFunc("GET /pintle/images", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.images.Names()) // the client is gone when this fails
	})
	return mux
}

func serveHTTP(ctx context.Context, l net.Listener, h http.Handler) error {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute}
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// pushImages puts what ships into the registry: the sandbox image, and the
// demo in two versions so that an update can be tried. No pod starts without the first:
// it is pushed whether or not others will be able to push.
func (p *ControlPlane) pushImages(ctx context.Context) error {
	if len(p.s.Registry) == 0 {
		return nil
	}
	others := p.push.ensure(ctx)
	addr := p.s.Registry[0].Addr().String()
	for _, x := range []struct {
		ref, program string
		env, ports   []string
	}{
		{node.SandboxImage, payload.Pause, nil, nil},
		{"demo:v1", payload.Demo, []string{"VERSION=v1"}, []string{"8080/tcp"}},
		{"demo:v2", payload.Demo, []string{"VERSION=v2"}, []string{"8080/tcp"}},
	} {
		b, err := payload.Read(x.program)
		if err != nil {
			return err
		}
		img, err := build.Image(build.Spec{
			Files: []build.File{{Path: "/" + x.program, Content: b, Mode: 0o755}}, Entrypoint: []string{"/" + x.program}, Env: x.env, Ports: x.ports,
		})
		if err != nil {
			return err
		}
		if _, err := build.Push(ctx, addr, x.ref, build.Named{Image: img}, p.push.own); err != nil {
			return fmt.Errorf("%s: %w", x.ref, err)
		}
	}
	p.s.Report.Done("images", "%s, with demo:v1 and demo:v2", addr)
	return others
}
