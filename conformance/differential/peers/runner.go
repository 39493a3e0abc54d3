package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/pintle-io/pintle/conformance/differential/peers/measure"
	"github.com/pintle-io/pintle/conformance/differential/peers/nodes"
	"github.com/pintle-io/pintle/conformance/differential/peers/scenario"
	"github.com/pintle-io/pintle/conformance/differential/servers"
)

// side is one of the two that are compared.
type side struct {
	name  string
	needs []servers.Binary // beside etcd
	start func(ctx context.Context, dir string) (*servers.Server, error)
}

func (o options) sides() []side {
	disk := servers.Safe
	if o.quick {
		disk = servers.Quick
	}
	return []side{
		{"kubernetes", []servers.Binary{servers.APIServer, servers.ControllerManager}, func(ctx context.Context, dir string) (*servers.Server, error) {
			return servers.StartKubernetes(ctx, o.bin, dir, disk)
		}},
		{"pintle", nil, func(ctx context.Context, dir string) (*servers.Server, error) {
			return servers.StartWholePintle(ctx, o.pintle, o.bin, dir, disk)
		}},
	}
}

// progressStep is how often somebody who looks on is told how far it is.
const progressStep = 10 * time.Second

// runner measures one scenario on one side once.
type runner struct {
	options
	side     side
	scenario scenario.Scenario
	round    int
	out      io.Writer
}

func (r *runner) say(format string, args ...any) {
	fmt.Fprintf(r.out, "%s  %d/%d %-11s  %-10s  %s\n", time.Now().UTC().Format("15:04:05"), r.round, r.rounds, r.scenario.Name, r.side.name, fmt.Sprintf(format, args...))
}

// run starts the servers, prepares, measures and ends them.
func (r *runner) run(ctx context.Context) (*measure.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.limit, fmt.Errorf("it took more than %s (-limit)", r.limit))
	defer cancel()
	dir := filepath.Join(r.dir, "data", r.side.name)
	if err := os.RemoveAll(dir); err != nil {
		return nil, err
	}
	r.say("starting")
	s, err := r.side.start(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	// Not by the file's name: client-go keeps connections' settings by that, and each
	// server has another certificate below the same name.
	ca, err := os.ReadFile(s.CAFile)
	if err != nil {
		return nil, err
	}
	config := &rest.Config{Host: s.URL, BearerToken: servers.Admin, QPS: -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: ca},
		ContentConfig:   rest.ContentConfig{ContentType: "application/vnd.kubernetes.protobuf", AcceptContentTypes: "application/vnd.kubernetes.protobuf,application/json"},
		// What a dry run is warned of is asked for; this is for all others.
		WarningHandler: rest.NoWarnings{},
	}
	c, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	if err := scenario.Prepare(ctx, c); err != nil {
		return nil, err
	}
	result := &measure.Result{Scenario: r.scenario.Name, Side: r.side.name, Round: r.round, Size: scenario.Scaled(r.scenario.Size, r.scale)}
	if result.Skipped, err = r.scenario.Missing(ctx, config); err != nil || result.Skipped != "" {
		return result, err
	}
	return result, r.withNodes(ctx, s, c, result)
}

// withNodes runs the scenario while simulated nodes act on pods.
func (r *runner) withNodes(ctx context.Context, s *servers.Server, c kubernetes.Interface, result *measure.Result) error {
	count := scenario.Scaled(r.scenario.Nodes, r.scale)
	n := nodes.New(c, count)
	r.say("preparing, %d nodes", count)
	if err := n.Create(ctx); err != nil {
		return fmt.Errorf("create nodes: %w", err)
	}
	if err := scenario.Ready(ctx, c, count); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	ctx, cancel := context.WithCancel(ctx)
	g.Go(func() error { return n.Run(ctx) })
	g.Go(func() error {
		defer cancel()
		return r.measure(ctx, s, c, n, result)
	})
	return g.Wait()
}

func (r *runner) measure(ctx context.Context, s *servers.Server, c kubernetes.Interface, n *nodes.Nodes, result *measure.Result) error {
	armed, err := r.scenario.Arm(ctx, c, result.Size)
	if err != nil {
		return fmt.Errorf("prepare: %w", err)
	}
	if err := measure.Rest(ctx, s.Processes()); err != nil {
		return err
	}
	if armed.Wait != nil {
		r.say("waiting for the moment")
		if err := armed.Wait(ctx); err != nil {
			return err
		}
	}
	r.say("running, %d %s", result.Size, r.scenario.Unit)
	m, err := measure.Begin(s.Processes())
	if err != nil {
		return err
	}
	profiles := r.profiles(ctx, s)
	ended := make(chan struct{})
	go r.tell(ended, armed, n)
	err = armed.Do(ctx)
	close(ended)
	if err == nil {
		err = m.End(result)
	}
	if perr := profiles(); err == nil {
		err = perr
	}
	return err
}

// tell says how far it is, again and again, until it has ended.
func (r *runner) tell(ended <-chan struct{}, armed *scenario.Armed, n *nodes.Nodes) {
	t := time.NewTicker(progressStep)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			r.say("%s; %d steps of pods", armed.Progress(), n.Steps())
		case <-ended:
			return
		}
	}
}
