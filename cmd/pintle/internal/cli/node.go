package cli

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/client"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/internal/jointoken"
	"github.com/pintle-io/pintle/node/admit"
	"github.com/pintle-io/pintle/node/bootstrap"
)

// joinTimeout bounds the first contact with the server.
const joinTimeout = time.Minute

// nodeFlags are those of a node's agent.
type nodeFlags struct {
	processFlags
	name, ip, server, tokenFile, registry, runtime string
	masquerade                                     bool
	lease, status                                  time.Duration
	labels                                         map[string]string
	sysctls                                        []string
}

func nodeCommand() *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use: "node", Short: "Join this machine to a cluster and run its node agent", Args: cobra.NoArgs,
		Long: `Join this machine to a cluster and run its node agent.

` + "`pintle token create`" + ` on the server prints the command with a token. The token is
needed once: the node then has certificates of its own, and renews them. It is
read from a file or from standard input, as arguments are everybody's to see.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			report := reporter(os.Stdout)
			return reported(cmd.Context(), report, f.run(cmd.Context(), report))
		},
	}
	fl := cmd.Flags()
	f.add(fl, "/var/lib/pintle-node")
	fl.StringVar(&f.server, "server", "", "URL of the API server, https://HOST:6443 (required)")
	paths.Var(fl, &f.tokenFile, "token-file", "", "file with the join token, or - for standard input; read only while the node has no certificates")
	fl.StringVar(&f.name, "name", "", "the node's name (default: the host's)")
	fl.StringVar(&f.ip, "node-ip", "", "the node's address (default: that of the default route)")
	fl.StringVar(&f.registry, "registry", "", "address of the image registry (default: port 5000 of the server)")
	paths.Var(fl, &f.runtime, "runtime-endpoint", "", "CRI socket of a runtime that you run (default: a private containerd)")
	fl.BoolVar(&f.masquerade, "masquerade", true, "give what pods send to others than pods the node's address; off, pods reach only what has a route back to them, the API server's machine included")
	fl.DurationVar(&f.lease, "node-lease-duration", 40*time.Second, "how long the node counts as alive after a renewal of its lease")
	fl.DurationVar(&f.status, "node-status-update-frequency", 10*time.Second, "how often the node looks at its own condition")
	fl.StringToStringVar(&f.labels, "node-labels", nil, "labels of the node, key=value,…")
	fl.StringSliceVar(&f.sysctls, "allowed-unsafe-sysctls", nil, "sysctls that pods may set beside the safe ones, such as kernel.msg*,net.core.somaxconn")
	return cmd
}

// check names the flag that is wrong.
func (f *nodeFlags) check() error {
	u, err := url.Parse(f.server)
	if f.server == "" || err != nil || u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--server %q: want the API server's URL, such as https://10.0.0.1:6443", f.server)
	}
	if err := admit.CheckSysctls(f.sysctls); err != nil {
		return fmt.Errorf("--allowed-unsafe-sysctls: %w", err)
	}
	if f.registry == "" {
		f.registry = u.Hostname() + ":5000"
	}
	return nil
}

func (f *nodeFlags) run(ctx context.Context, report *steps.Reporter) error {
	if err := checkMachine(); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	network, err := f.network()
	if err != nil {
		return err
	}
	name, ip, err := identity(f.name, f.ip)
	if err != nil {
		return err
	}
	dir, err := f.absolute()
	if err != nil {
		return err
	}
	lock, err := f.enter(dir)
	if err != nil {
		return err
	}
	defer lock.Close()
	if f.cgroup == "" {
		if err := claim(ownerFile, dir); err != nil {
			return err
		}
	}
	log := f.logger()
	id, err := f.join(ctx, bootstrap.Config{Server: f.server, Token: f.token(), Name: name, IPs: []netip.Addr{ip}, Dir: dir.PKI(), Log: log})
	if err != nil {
		return err
	}
	report.Done("identity", "system:node:%s, in %s", name, dir.PKI())
	n := &serve.Node{
		Dir: paths.Dir(dir.Node()), Name: name, IP: ip, Network: network, Cgroup: f.cgroup,
		API: id.REST(), Serving: id.Serving(), ClientCAs: id.CA(),
		Registry: f.registry, RuntimeEndpoint: f.runtime, Masquerade: f.masquerade,
		LeaseDuration: f.lease, StatusInterval: f.status, Labels: f.labels, Sysctls: f.sysctls, Profiling: f.profiling, Report: report, Log: log,
	}
	group, ctx := errgroup.WithContext(ctx)
	// The server signs a serving certificate for a node that it knows.
	registered := make(chan struct{})
	group.Go(func() error {
		select {
		case <-registered:
			return id.Run(ctx)
		case <-ctx.Done():
			return nil
		}
	})
	group.Go(func() error {
		return n.Run(ctx, func() {
			close(registered)
			waitServing(ctx, id)
			report.Ready()
		})
	})
	return group.Wait()
}

// waitServing returns when the node's own API has its certificate: before,
// kubectl logs and exec would fail.
func waitServing(ctx context.Context, id *bootstrap.Identity) {
	get := id.Serving().GetCertificate
	for tick := time.NewTicker(20 * time.Millisecond); ctx.Err() == nil; <-tick.C {
		if _, err := get(nil); err == nil {
			tick.Stop()
			return
		}
	}
}

// token reads the join token from where the user put it; nil when he named no
// place.
func (f *nodeFlags) token() func() (string, error) {
	if f.tokenFile == "" {
		return nil
	}
	return func() (string, error) {
		text, err := client.ReadToken(f.tokenFile)
		if err != nil {
			return "", err
		}
		if _, err := jointoken.Parse(text); err != nil {
			return "", fmt.Errorf("--token-file %s: %w; `pintle token create` on the server makes one", f.tokenFile, err)
		}
		return text, nil
	}
}

// join obtains the node's identity and says what to do when that fails.
func (f *nodeFlags) join(ctx context.Context, c bootstrap.Config) (*bootstrap.Identity, error) {
	limited, cancel := context.WithTimeout(ctx, joinTimeout)
	defer cancel()
	id, err := bootstrap.Join(limited, c)
	switch {
	case err == nil:
		return id, nil
	case errors.Is(err, bootstrap.ErrWrongCluster):
		return nil, fmt.Errorf("join %s: %w", f.server, err)
	case strings.Contains(strings.ToLower(err.Error()), "unauthorized"):
		return nil, fmt.Errorf("join %s: the token is not valid, or no longer: `pintle token create` on the server makes a new one (%w)", f.server, err)
	}
	return nil, fmt.Errorf("join %s: %w", f.server, err)
}
