package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/pprof"
	"syscall"

	"golang.org/x/sync/errgroup"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// controlPlaneArg makes this program the control plane that is measured. It obeys
// orders, one JSON object a line on standard input, and answers each with one
// line on standard output. It ends with its input.
const controlPlaneArg = "-control-plane"

// order is one line to the control plane.
type order struct {
	Do    string // see do
	Count int    // of nodes or pods
	Given bool   // the nodes come with their ranges of pod addresses
	File  string // of a profile; "" ends the one being taken
}

// answer is one line from the control plane.
type answer struct {
	Error  string
	Deploy deployed
}

// controlPlane is the running control plane.
type controlPlane struct {
	kernel   *kernel.Kernel
	registry registry.Registry
	profile  *os.File
	group    *errgroup.Group
	nodes    *liveNodes
	ctx      context.Context // of what runs until the end
}

// serviceRange is that of the cluster that is measured.
var serviceRange = netip.MustParsePrefix("10.96.0.0/16")

func serveControlPlane(args []string) error {
	fl := flag.NewFlagSet("control-plane", flag.ContinueOnError)
	dir := fl.String("dir", "", "data directory")
	if err := fl.Parse(args); err != nil {
		return err
	}
	ctx, cancel := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer cancel()
	k, closeHost, err := newKernel(ctx, *dir)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	p := &controlPlane{kernel: k, registry: k.Access().As(administrator), group: group, ctx: ctx}
	serving := make(chan struct{})
	group.Go(func() error { return k.Run(ctx, func() { close(serving) }) })
	group.Go(func() error {
		defer cancel()
		for _, c := range []<-chan struct{}{serving, k.PluginsSynced()} {
			select {
			case <-c:
			case <-ctx.Done():
				return nil
			}
		}
		return p.obey(os.Stdin, os.Stdout)
	})
	return errors.Join(group.Wait(), closeHost())
}

var administrator = &user.DefaultInfo{Name: "bench", Groups: []string{user.SystemPrivilegedGroup}}

// newKernel puts together what `pintle server` runs.
func newKernel(ctx context.Context, dir string) (*kernel.Kernel, func() error, error) {
	table, err := kinds.Table(kinds.Options{ServiceCIDRs: []netip.Prefix{serviceRange}}, v1alpha1.Extend)
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	cache := filepath.Join(dir, "wasm-cache")
	compiled, err := payload.Cache()
	if err != nil {
		return nil, nil, err
	}
	if err := wasm.Seed(cache, compiled); err != nil {
		return nil, nil, err
	}
	host, err := wasm.New(ctx, wasm.Config{CacheDir: cache, Log: log})
	if err != nil {
		return nil, nil, err
	}
	builtins, err := builtinPlugins()
	if err != nil {
		return nil, nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	addr := l.Addr().(*net.TCPAddr).AddrPort()
	k, err := kernel.New(ctx, kernel.Config{Dir: dir, Table: table, Listeners: []net.Listener{l}, Advertise: addr,
		ServiceIP: serviceRange.Addr().Next(), ServiceCIDRs: []netip.Prefix{serviceRange}, Hosts: map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostWASM: host}, Builtins: builtins, Log: log})
	if err != nil {
		return nil, nil, errors.Join(err, l.Close())
	}
	keys := k.PKI()
	if err := keys.WriteKubeconfig(kubeconfig(dir), "https://"+addr.String(), "admin", keys.Admin()); err != nil {
		return nil, nil, errors.Join(err, k.Close())
	}
	return k, func() error { return host.Close(context.WithoutCancel(ctx)) }, nil
}

func kubeconfig(dir string) string { return filepath.Join(dir, "admin.kubeconfig") }

// obey carries out orders until there are no more.
func (p *controlPlane) obey(in io.Reader, out io.Writer) error {
	enc := json.NewEncoder(out)
	if err := enc.Encode(answer{}); err != nil { // everything is up
		return err
	}
	for sc := bufio.NewScanner(in); sc.Scan(); {
		var o order
		if err := json.Unmarshal(sc.Bytes(), &o); err != nil {
			return err
		}
		var a answer
		if err := p.do(o, &a); err != nil {
			a.Error = err.Error()
		}
		if err := enc.Encode(a); err != nil {
			return err
		}
	}
	return nil
}

func (p *controlPlane) do(o order, a *answer) (err error) {
	switch o.Do {
	case "nodes":
		return p.makeNodes(o.Count, o.Given)
	case "deploy":
		a.Deploy, err = p.deploy(o.Count)
		return err
	case "pods":
		return p.makePods(o.Count)
	case "undeploy":
		return p.undeploy()
	case "remove nodes":
		return p.removeNodes()
	case "churn":
		return p.churn(o.Count)
	case "rewrite":
		return p.rewrite(o.Count)
	case "settle":
		return p.awaitIdle()
	case "profile":
		return p.takeProfile(o.File)
	case "heap":
		return writeHeap(o.File)
	}
	return fmt.Errorf("no such order: %q", o.Do)
}

func (p *controlPlane) takeProfile(file string) error {
	if file == "" {
		pprof.StopCPUProfile()
		return p.profile.Close()
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	p.profile = f
	return pprof.StartCPUProfile(f)
}
