package cli

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/internal/version"
	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/containerd"
	"github.com/pintle-io/pintle/node/membership"
)

// upFlags are those of a cluster on one machine.
type upFlags struct {
	serverFlags
	nodeName   string
	nodeIP     string
	runtime    string
	noMasq     bool
	foreground bool
	merge      bool
	flags      *pflag.FlagSet
}

func upCommand() *cobra.Command {
	var f upFlags
	cmd := &cobra.Command{
		Use: "up", Short: "Start a cluster on this machine: control plane, node, DNS, images", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.foreground {
				report := reporter(os.Stdout)
				return reported(cmd.Context(), report, f.run(cmd.Context(), report))
			}
			return f.background(cmd.Context(), cmd.OutOrStdout(), paths.Given(cmd.Flags()))
		},
	}
	fl := cmd.Flags()
	f.flags = fl
	f.add(fl, paths.Default)
	fl.StringVar(&f.nodeName, "node-name", "", "the node's name (default: the host's)")
	fl.StringVar(&f.nodeIP, "node-ip", "", "the node's address (default: that of the default route)")
	paths.Var(fl, &f.runtime, "runtime-endpoint", "", "CRI socket of a runtime that you run (default: a private containerd)")
	fl.BoolVar(&f.noMasq, "no-masquerade", false, "keep pods from reaching the outside")
	fl.BoolVar(&f.foreground, "foreground", false, "stay in the foreground and log to standard error")
	fl.BoolVar(&f.merge, "merge-kubeconfig", false, "add the cluster to ~/.kube/config, too")
	return cmd
}

// background starts the same command in the foreground of a session of its
// own and follows its steps. named are the flags that name files, with absolute paths.
func (f *upFlags) background(ctx context.Context, out io.Writer, named []string) error {
	dir, err := f.absolute()
	if err != nil {
		return err
	}
	if pid, err := daemon.Pid(dir.Lock()); err != nil {
		return err
	} else if pid != 0 {
		fmt.Fprintf(out, "Pintle is already up (process %d). Its kubeconfig is %s; `pintle down` stops it.\n", pid, dir.AdminKubeconfig())
		if err := daemon.Unheard(pid, f.flags, upCommand().Flags(), "data-dir", "foreground", "merge-kubeconfig"); err != nil {
			return err
		}
		return f.mergeInto(out, dir)
	}
	if f.tokenFile == "-" {
		return errors.New("--token-file -: what runs in the background reads no standard input; name a file, or use --foreground")
	}
	if err := checkMachine(); err != nil {
		return err
	}
	if _, err := f.network(); err != nil {
		return err
	}
	if f.cgroup == "" {
		if err := mayTouch(ownerFile, dir); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "Pintle %s, Kubernetes API %s\n", version.Pintle, version.Kubernetes)
	start := time.Now()
	offset := fileSize(dir.Log())
	proc, progress, err := daemon.Spawn(daemon.Spec{Args: slices.Concat([]string{"up", "--foreground"}, passOn(os.Args[1:]), named), Log: dir.Log()})
	if err != nil {
		return err
	}
	defer progress.Close()
	defer daemon.Bound(ctx, progress)()
	quiet := watchLog(out, dir.Log(), offset, self())
	err = steps.Follow(progress, quiet)
	quiet.stop()
	switch {
	case err == nil:
	case ctx.Err() != nil: // here, not beside: this process would be gone first
		return errors.Join(errors.New("interrupted; the server that was starting ends, too"), proc.Signal(os.Interrupt))
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the server ended while it started; its log is %s", dir.Log())
	case errors.Is(err, os.ErrClosed):
		return fmt.Errorf("not ready after %s; the server runs on and keeps trying (`%s down` ends it); its log is %s", daemon.StartLimit, self(), dir.Log())
	default:
		return err
	}
	if name, _, err := f.identity(); err == nil {
		awaitPods(ctx, out, dir, name, start)
	}
	fmt.Fprintf(out, "\nReady after %.1fs. The kubeconfig is %s, the log %s.\n", time.Since(start).Seconds(), dir.AdminKubeconfig(), dir.Log())
	if err := f.mergeInto(out, dir); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nTry:\n\n  %[1]s kubectl create deployment web --image=demo:v1 --replicas=3\n  %[1]s kubectl expose deployment web --port=80 --target-port=8080\n  %[1]s kubectl get all\n\n", self())
	return nil
}

// self is how the user called this program.
func self() string {
	if strings.Contains(os.Args[0], "/") {
		return os.Args[0]
	}
	return "pintle"
}

// passOn drops the command and the flags that are this process's own.
func passOn(args []string) []string {
	var out []string
	for _, a := range args {
		if a != "up" && a != "--foreground" && a != "--merge-kubeconfig" {
			out = append(out, a)
		}
	}
	return out
}

// checkMachine fails early, and with the remedy, on a machine that cannot run
// a node.
func checkMachine() error {
	if os.Geteuid() != 0 {
		return errors.New("running containers needs root: run as root (sudo)")
	}
	for _, program := range []string{"containerd", "runc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("%s is not installed: %w", program, containerd.ErrNoBinary)
		}
	}
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	return groups.RequireV2()
}

func (f *upFlags) mergeInto(out io.Writer, dir paths.Dir) error {
	if !f.merge {
		return nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return err
	}
	path := filepath.Join(home, ".kube", "config")
	if err := mergeKubeconfig(path, dir.AdminKubeconfig()); err != nil {
		return err
	}
	fmt.Fprintf(out, "Merged into %s as context pintle; the present context was kept.\n", path)
	return nil
}

// mergeKubeconfig adds a cluster as "pintle" and changes nothing else.
func mergeKubeconfig(path, add string) error {
	more, err := clientcmd.LoadFromFile(add)
	if err != nil {
		return err
	}
	into, err := clientcmd.LoadFromFile(path)
	if errors.Is(err, os.ErrNotExist) {
		into, err = clientcmd.NewDefaultPathOptions().GetStartingConfig()
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	current := more.Contexts[more.CurrentContext]
	if current == nil {
		return fmt.Errorf("%s has no current context", add)
	}
	c := current.DeepCopy()
	into.Clusters["pintle"], into.AuthInfos["pintle"] = more.Clusters[c.Cluster], more.AuthInfos[c.AuthInfo]
	c.Cluster, c.AuthInfo = "pintle", "pintle"
	into.Contexts["pintle"] = c
	if into.CurrentContext == "" {
		into.CurrentContext = "pintle"
	}
	return clientcmd.WriteToFile(*into, path)
}

// run is the whole cluster in this process.
func (f *upFlags) run(ctx context.Context, report *steps.Reporter) error {
	if err := checkMachine(); err != nil {
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
	s, err := f.server(dir, report, log)
	if err != nil {
		return err
	}
	controlPlane, err := s.New(ctx)
	if err != nil {
		return err
	}
	n, err := f.node(s, controlPlane)
	if err != nil {
		return err
	}
	defer lastResort(controlPlane.Kernel().StoreFailed(), log)()
	group, ctx := errgroup.WithContext(ctx)
	serving := make(chan struct{})
	group.Go(func() error { return controlPlane.Run(ctx, func() { close(serving) }) })
	group.Go(func() error {
		select {
		case <-serving:
		case <-ctx.Done():
			return nil
		}
		return n.Run(ctx, report.Ready)
	})
	return group.Wait()
}

// node makes the node of this machine; its identity comes from the cluster's
// own keys.
func (f *upFlags) node(s *serve.Server, controlPlane *serve.ControlPlane) (*serve.Node, error) {
	name, ip, err := f.identity()
	if err != nil {
		return nil, err
	}
	keys := controlPlane.Kernel().PKI()
	client, err := keys.IssueNodeClient(name)
	if err != nil {
		return nil, err
	}
	serving, err := keys.IssueNodeServing(name, ipsOf(ip))
	if err != nil {
		return nil, err
	}
	return &serve.Node{
		Dir: paths.Dir(s.Dir.Node()), Name: name, IP: ip, Network: s.Network, Cgroup: f.cgroup,
		API:     &rest.Config{Host: s.URL(), TLSClientConfig: rest.TLSClientConfig{CAData: keys.CAPEM(), CertData: client.CertPEM, KeyData: client.KeyPEM}},
		Serving: &tls.Config{Certificates: []tls.Certificate{*serving.TLS()}, MinVersion: tls.VersionTLS12}, ClientCAs: keys.Pool(),
		Registry: s.Registry[0].Addr().String(), RuntimeEndpoint: f.runtime, Masquerade: !f.noMasq, Profiling: f.profiling, Report: s.Report, Log: s.Log,
	}, nil
}

func (f *upFlags) identity() (string, netip.Addr, error) {
	return identity(f.nodeName, f.nodeIP)
}

// identity completes a node's name and address from the machine's.
func identity(name, ip string) (string, netip.Addr, error) {
	if name == "" {
		host, err := os.Hostname()
		if err != nil {
			return "", netip.Addr{}, err
		}
		name = strings.ToLower(host)
	}
	if ip != "" {
		a, err := netip.ParseAddr(ip)
		if err != nil {
			return "", a, fmt.Errorf("--node-ip: %w", err)
		}
		return name, a, nil
	}
	if a, ok := membership.Address(); ok {
		return name, a, nil
	}
	// A machine without a network is still a node of its own.
	return name, serve.LocalIP, nil
}
