package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/node/cni/routes"
)

func ipsOf(a netip.Addr) []net.IP { return []net.IP{a.AsSlice(), net.IPv4(127, 0, 0, 1)} }

// stopGrace is how long the server may take to end by itself.
const stopGrace = 30 * time.Second

func downCommand() *cobra.Command {
	var f upFlags
	var purge bool
	cmd := &cobra.Command{
		Use: "down", Short: "Stop the cluster of this machine and clean up; the data stay", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.down(cmd.Context(), cmd.OutOrStdout(), purge) },
	}
	fl := cmd.Flags()
	f.processFlags.add(fl, paths.Default)
	fl.StringVar(&f.nodeName, "node-name", "", "the node's name (default: the host's)")
	fl.StringVar(&f.nodeIP, "node-ip", "", "the node's address (default: that of the default route)")
	fl.BoolVar(&purge, "purge", false, "remove the data, too: objects, images, keys")
	return cmd
}

func (f *upFlags) down(ctx context.Context, out io.Writer, purge bool) error {
	if os.Geteuid() != 0 {
		return errors.New("stopping containers needs root: run as root (sudo)")
	}
	dir, err := f.absolute()
	if err != nil {
		return err
	}
	if _, err := os.Stat(string(dir)); errors.Is(err, os.ErrNotExist) {
		fmt.Fprintf(out, "Nothing is there: %s does not exist.\n", dir)
		return nil
	}
	if f.cgroup == "" {
		if err := mayTouch(ownerFile, dir); err != nil {
			return err
		}
	}
	start := time.Now()
	ran, err := daemon.Stop(ctx, dir.Lock(), stopGrace)
	if err != nil {
		return err
	}
	if ran {
		steps.Print(out, steps.Step{Name: "server", Took: time.Since(start), Detail: "stopped"})
	}
	start = time.Now()
	if err := f.cleanup(ctx, dir, purge); err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	if f.cgroup == "" {
		if err := disclaim(ownerFile, dir); err != nil {
			return err
		}
	}
	steps.Print(out, steps.Step{Name: "node", Took: time.Since(start), Detail: "containers, network, mounts and BPF programs removed"})
	if !purge {
		fmt.Fprintf(out, "\nThe data stay in %s: `pintle up` continues, `pintle down --purge` removes them.\n", dir)
		return nil
	}
	if err := os.RemoveAll(string(dir)); err != nil {
		return err
	}
	steps.Print(out, steps.Step{Name: "data", Detail: string(dir) + " removed"})
	return nil
}

func (f *upFlags) cleanup(ctx context.Context, dir paths.Dir, purge bool) error {
	name, ip, err := f.identity()
	if err != nil {
		return err
	}
	network, err := f.network()
	if err != nil {
		return err
	}
	n := &serve.Node{Dir: paths.Dir(dir.Node()), Name: name, IP: ip, Network: network, Cgroup: f.cgroup, Log: slog.New(slog.DiscardHandler)}
	err = n.Cleanup(ctx, purge)
	if _, none := os.Stat(dir.AdminKubeconfig()); none == nil {
		// A control plane was here. That of another directory keeps its address.
		err = errors.Join(err, routes.RemoveLocal(serve.LocalAPI))
	}
	return err
}
