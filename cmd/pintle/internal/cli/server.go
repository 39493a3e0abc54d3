package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/cmd/pintle/internal/auditflags"
	"github.com/pintle-io/pintle/cmd/pintle/internal/authflags"
	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/image"
	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/lab"
	"github.com/pintle-io/pintle/cmd/pintle/internal/listen"
	"github.com/pintle-io/pintle/cmd/pintle/internal/logging"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
)

// processFlags are those of every long-lived process.
type processFlags struct {
	dir       string
	cgroup    string
	logLevel  slog.LevelVar
	services  string
	pods      string
	profiling bool
}

func (f *processFlags) add(fl *pflag.FlagSet, dir string) {
	n := serve.DefaultNetwork
	paths.Var(fl, &f.dir, "data-dir", dir, "where everything is kept")
	fl.StringVar(&f.services, "service-cidr", n.Services.String(), "range of ClusterIPs")
	fl.StringVar(&f.pods, "cluster-cidr", n.Pods.String(), "range of pod addresses")
	fl.TextVar(&f.logLevel, "log-level", &f.logLevel, "DEBUG, INFO, WARN or ERROR")
	fl.BoolVar(&f.profiling, "profiling", true, "serve profiles at /debug/pprof/ to cluster administrators")
	fl.StringVar(&f.cgroup, "cgroup", "", "run below this cgroup in every hierarchy, pods included (for labs)")
}

func (f *processFlags) network() (serve.Network, error) {
	var n serve.Network
	var err error
	if n.Services, err = netip.ParsePrefix(f.services); err != nil {
		return n, fmt.Errorf("--service-cidr: %w", err)
	}
	if n.Pods, err = netip.ParsePrefix(f.pods); err != nil {
		return n, fmt.Errorf("--cluster-cidr: %w", err)
	}
	return n, n.Validate()
}

func (f *processFlags) absolute() (paths.Dir, error) {
	d, err := filepath.Abs(f.dir)
	return paths.Dir(d), err
}

// logger makes the process's log and brings the libraries' into it.
func (f *processFlags) logger() *slog.Logger {
	text := slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: &f.logLevel})
	log := slog.New(logging.Limit(text, clock.RealClock{}))
	bridge(log)
	return log
}

// enter takes the lock and the cgroup.
func (f *processFlags) enter(dir paths.Dir) (*os.File, error) {
	lock, err := daemon.Lock(dir.Lock())
	if errors.Is(err, daemon.ErrRunning) {
		pid, _ := daemon.Pid(dir.Lock())
		return nil, fmt.Errorf("a pintle of %s is %w (process %d)", dir, err, pid)
	}
	if err != nil {
		return nil, err
	}
	if f.cgroup != "" {
		if err := lab.EnterCgroup(f.cgroup + "/agent"); err != nil {
			return nil, errors.Join(err, lock.Close())
		}
	}
	return lock, nil
}

// reporter reports steps to the process that started this one, or to the
// terminal when there is none.
func reporter(out *os.File) *steps.Reporter {
	if os.Getenv(daemon.ProgressEnv) != "" {
		return steps.NewReporter(os.NewFile(daemon.ProgressFD, "progress"), time.Now)
	}
	return steps.NewReporter(steps.Terminal(out), time.Now)
}

// serverFlags are the control plane's.
type serverFlags struct {
	processFlags
	s         serve.Server
	listen    []string
	registry  []string
	advertise string
	quota     resource.QuantityValue
	tokenFile string
}

func (f *serverFlags) add(fl *pflag.FlagSet, dir string) {
	f.s = serve.DefaultServer()
	f.processFlags.add(fl, dir)
	fl.StringArrayVar(&f.listen, "listen", []string{"127.0.0.1:6443"}, "address of the API server (repeatable)")
	fl.StringArrayVar(&f.registry, "registry-listen", []string{image.DefaultAddress}, "address of the image registry (repeatable)")
	fl.StringVar(&f.advertise, "advertise-address", "", "IP at which pods and nodes reach the API server (default: that of the first --listen that is not the loopback)")
	fl.BoolVar(&f.s.UnconfinedPlugins, "unconfined-plugins", f.s.UnconfinedPlugins, "run plugins of the process host with all rights of the server, where the system cannot confine them")
	fl.StringVar(&f.s.PluginHost, "plugin-host", f.s.PluginHost, "where built-in plugins run: wasm, or native (linked in)")
	fl.StringArrayVar(&f.s.DisabledPlugins, "disable-plugin", nil, "do not run this plugin, when it locks everybody out (repeatable; \"all\": none but those that ship)")
	paths.Var(fl, &f.tokenFile, "token-file", "", "file with a server token, or - for standard input, by which this server gets the cluster's keys; read only while it lacks them")
	fl.BoolVar(&f.s.ReplaceKeys, "replace-keys", false, "begin with new keys of the cluster, or those in the data directory, when the old ones are lost: nodes, clients and servers join anew")
	fl.StringArrayVar(&f.s.EtcdEndpoints, "etcd-endpoints", nil, "external etcd, instead of the embedded one (repeatable)")
	paths.Var(fl, &f.s.EtcdCA, "etcd-ca", "", "CA of the external etcd")
	paths.Var(fl, &f.s.EtcdCert, "etcd-cert", "", "client certificate for the external etcd")
	paths.Var(fl, &f.s.EtcdKey, "etcd-key", "", "its key")
	f.quota.Quantity = *resource.NewQuantity(f.s.EtcdQuota, resource.BinarySI)
	fl.Var(&f.quota, "etcd-quota-backend-bytes", "size that the embedded etcd's database may reach before writes are refused")
	fl.BoolVar(&f.s.UnsafeNoFsync, "unsafe-no-fsync", false, "let the embedded etcd forget writes at a power loss (benchmarks)")
	fl.StringVar((*string)(&f.s.ExternalIPs), "service-external-ips", string(f.s.ExternalIPs), "external addresses that Services may have: safe (none of nodes, pods, other Services), deny (none), allow (policies decide)")
	fl.BoolVar(&f.s.AllowPrivileged, "allow-privileged", f.s.AllowPrivileged, "accept pods with privileged containers")
	fl.DurationVar(&f.s.Grace, "node-monitor-grace-period", f.s.Grace, "how long a node may be silent before it counts as lost")
	d := &f.s.Disruption
	fl.Float64Var(&d.UnhealthyZoneThreshold, "unhealthy-zone-threshold", d.UnhealthyZoneThreshold, "the part of a zone's nodes (three at least) that must be not ready for the zone to count as disrupted")
	fl.IntVar(&d.LargeClusterSizeThreshold, "large-cluster-size-threshold", d.LargeClusterSizeThreshold, "a disrupted zone of more nodes is emptied at the secondary rate, another not at all")
	fl.Float64Var(&d.NodeEvictionRate, "node-eviction-rate", d.NodeEvictionRate, "nodes a second and zone whose pods are evicted when they are not ready")
	fl.Float64Var(&d.SecondaryNodeEvictionRate, "secondary-node-eviction-rate", d.SecondaryNodeEvictionRate, "the same in a large zone that is disrupted")
	fl.IntVar(&d.TerminatedPodThreshold, "terminated-pod-gc-threshold", d.TerminatedPodThreshold, "how many pods that have ended are kept before the oldest are deleted; with 0 all are")
	fl.Int64Var(&f.s.NotReadySeconds, "default-not-ready-toleration-seconds", f.s.NotReadySeconds, "how long pods stay on a node that is not ready")
	fl.Int64Var(&f.s.UnreachableSeconds, "default-unreachable-toleration-seconds", f.s.UnreachableSeconds, "how long pods stay on a node that is lost")
	in := &f.s.InFlight
	fl.BoolVar(&in.Fairness, "enable-priority-and-fairness", in.Fairness, "have requests wait for their turn, by FlowSchemas and PriorityLevelConfigurations; the two limits below are one then, their sum")
	fl.IntVar(&in.Reads, "max-requests-inflight", in.Reads, "short reading requests that are executed at once")
	fl.IntVar(&in.Writes, "max-mutating-requests-inflight", in.Writes, "short writing requests that are executed at once")
	auditflags.Add(fl, &f.s.Audit)
	authflags.Add(fl, &f.s.Authentication, &f.s.Authorization)
	paths.Var(fl, &f.s.Encryption.File, "encryption-provider-config", "", "file with the apiserver.config.k8s.io/v1 EncryptionConfiguration that says which objects are kept encrypted; without it none are")
	fl.BoolVar(&f.s.Encryption.Reload, "encryption-provider-config-automatic-reload", false, "follow changes of that file")
}

// server opens the listeners and completes the configuration.
func (f *serverFlags) server(dir paths.Dir, report *steps.Reporter, log *slog.Logger) (*serve.Server, error) {
	s := f.s
	s.Dir, s.Report, s.Log, s.Profiling = dir, report, log, f.profiling
	s.EtcdQuota, s.Token = f.quota.Value(), f.token()
	var err error
	if s.Network, err = f.network(); err != nil {
		return nil, err
	}
	if err := s.Validate(); err != nil {
		return nil, err
	}
	if s.Listeners, err = listen.Open("listen", f.listen); err != nil {
		return nil, err
	}
	if s.Registry, err = listen.Open("registry-listen", f.registry); err != nil {
		return nil, err
	}
	if s.Advertise, err = advertised(s.Listeners, f.advertise); errors.Is(err, errLoopbackOnly) {
		err = listenForPods(&s, s.Advertise, log)
	}
	return &s, err
}

// token reads the server token from where the user put it; nil when he named no
// place.
func (f *serverFlags) token() func() (string, error) {
	if f.tokenFile == "" {
		return nil
	}
	return func() (string, error) { return client.ReadToken(f.tokenFile) }
}

func serverCommand() *cobra.Command {
	var f serverFlags
	cmd := &cobra.Command{
		Use: "server", Short: "Run a control plane without a node", Args: cobra.NoArgs,
		Long: `Run a control plane without a node.

Servers that use the same external etcd are one control plane. The first one makes
the cluster's keys; the others get them from the etcd by a token, which
` + "`pintle token create --server`" + ` on a server that runs makes. It is needed once, and
read from a file or from standard input, as arguments are everybody's to see.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := reporter(os.Stdout)
			return reported(cmd.Context(), report, f.run(cmd.Context(), report))
		},
	}
	f.add(cmd.Flags(), paths.Default)
	return cmd
}

// reported tells whoever reads the steps why the process ends. ctx is that of
// the process: it has ended if the process was asked to stop.
func reported(ctx context.Context, r *steps.Reporter, err error) error {
	if err != nil {
		r.Fail(phase(ctx, r), err)
	}
	return err
}

// phase is what a process was doing when it failed.
func phase(ctx context.Context, r *steps.Reporter) string {
	switch {
	case ctx.Err() != nil:
		return "stop"
	case r.IsReady():
		return "run"
	}
	return "start"
}

// lastResort ends the process when the store has failed and nothing else has
// within a while. Until stop is called.
func lastResort(failed <-chan struct{}, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-failed:
		case <-done:
			return
		}
		select {
		case <-time.After(stopGrace):
			log.Error("the store failed, and the process does not end in good order", "waited", stopGrace)
			os.Exit(1)
		case <-done:
		}
	}()
	return func() { close(done) }
}

func (f *serverFlags) run(ctx context.Context, report *steps.Reporter) error {
	dir, err := f.absolute()
	if err != nil {
		return err
	}
	lock, err := f.enter(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := f.server(dir, report, f.logger())
	if err != nil {
		return err
	}
	controlPlane, err := s.New(ctx)
	if err != nil {
		return err
	}
	defer lastResort(controlPlane.Kernel().StoreFailed(), s.Log)()
	return controlPlane.Run(ctx, func() { go func() { <-controlPlane.Kernel().PluginsSynced(); report.Ready() }() })
}
