// Command upstream runs Kubernetes' own end-to-end tests against Pintle: it
// builds them, makes the images that they pull, starts a lab of three nodes (or
// takes the cluster of $KUBECONFIG), runs, and keeps what came of each
// conformance test in results.tsv.
//
// It is a module of its own, so that Pintle does not depend on the tests.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/conformance/upstream/binaries"
	"github.com/pintle-io/pintle/conformance/upstream/images"
	"github.com/pintle-io/pintle/conformance/upstream/results"
	"github.com/pintle-io/pintle/conformance/upstream/suite"
)

// conformance are the tests that a conformant cluster passes.
const conformance = `\[Conformance\]`

type options struct {
	focus, skip, rerun string
	pintle, registry   string
	kubeconfig, dir    string
	module             string
	nodes, procs       int
	timeout            time.Duration
	update             bool
}

func main() {
	var o options
	flag.StringVar(&o.focus, "focus", "", "run the specs whose names match this expression (default the conformance tests)")
	flag.StringVar(&o.skip, "skip", "", "leave out the specs whose names match this expression")
	flag.StringVar(&o.rerun, "rerun", "", `"failed": run what failed in the last run`)
	flag.StringVar(&o.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "the cluster to test; without one a lab is started and ended")
	flag.StringVar(&o.registry, "registry", "127.0.0.1:5000", `with a kubeconfig: where images are pushed to, host:port; "" if the cluster's nodes have them`)
	flag.StringVar(&o.pintle, "pintle", "bin/pintle", "the executable")
	flag.StringVar(&o.dir, "dir", "bin/conformance-upstream", "where binaries, images and reports are kept")
	flag.StringVar(&o.module, "module", "conformance/upstream", "where this module is")
	flag.IntVar(&o.nodes, "nodes", 3, "nodes of the lab")
	flag.IntVar(&o.procs, "procs", 4*runtime.NumCPU(), "specs at a time")
	flag.DurationVar(&o.timeout, "timeout", 3*time.Hour, "end the run after this time")
	flag.BoolVar(&o.update, "update", false, "update results.tsv after a part of the tests as well")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "conformance-upstream:", err)
		cancel()
		os.Exit(1)
	}
}

var errFailed = errors.New("tests failed")

// run builds, starts, runs and reports. Its error is errFailed if all of that
// went well and a test failed.
func (o options) run(ctx context.Context, out io.Writer) (err error) {
	for _, path := range []*string{&o.dir, &o.pintle, &o.module} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	focus, err := o.chooseFocus()
	if err != nil {
		return err
	}
	bin := binaries.Dir(filepath.Join(o.dir, "bin"))
	if err := bin.Build(ctx, o.module, out); err != nil {
		return err
	}
	debian, err := images.MakeDebian(ctx, filepath.Join(o.dir, "images"), out)
	if err != nil {
		return err
	}
	cluster, err := o.cluster(ctx, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.end(out)) }()
	if err := o.pushImages(ctx, images.Kit{Binaries: bin, Debian: debian}, cluster, out); err != nil {
		return err
	}
	run := suite.Run{
		Ginkgo: bin.Path(binaries.Ginkgo), Test: bin.Path(binaries.E2E), Prefix: cluster.prefix,
		Kubeconfig: cluster.kubeconfig, Kubectl: cluster.kubectl, Nodes: cluster.nodes,
		Focus: focus, Skip: o.skip, Procs: o.procs, Timeout: o.timeout, Dir: o.last(),
	}
	if err := run.Do(ctx, out); err != nil {
		return err
	}
	return o.report(run, out)
}

// last is where the reports of the last run are.
func (o options) last() string { return filepath.Join(o.dir, "last") }

func (o options) chooseFocus() (string, error) {
	switch o.rerun {
	case "":
		if o.focus != "" {
			return o.focus, nil
		}
		return conformance, nil
	case "failed":
	default:
		return "", fmt.Errorf("-rerun=%s: only \"failed\" is known", o.rerun)
	}
	ran, err := readJUnit(suite.Run{Dir: o.last()}.JUnit())
	if err != nil {
		return "", fmt.Errorf("-rerun=failed: there is no last run: %w", err)
	}
	var names []string
	for name, test := range ran {
		if test.Result == results.Failed {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return "", errors.New("-rerun=failed: nothing failed in the last run")
	}
	slices.Sort(names)
	return suite.FocusOn(names), nil
}

// pushImages makes the images of what kit has and pushes them to the cluster's
// registry, if it has one.
func (o options) pushImages(ctx context.Context, kit images.Kit, c *cluster, out io.Writer) (err error) {
	if c.registry == "" {
		return nil
	}
	if kit.Kubernetes, err = moduleDir(ctx, o.module, "k8s.io/kubernetes"); err != nil {
		return err
	}
	kit.Pause = filepath.Join(o.module, "../../internal/payload/files/pause")
	made, err := images.Make(kit)
	if err != nil {
		return err
	}
	token, err := c.pushToken(ctx)
	if err != nil {
		return err
	}
	for i, image := range made {
		if err := image.Push(ctx, c.registry, token); err != nil {
			return err
		}
		fmt.Fprintf(out, "pushed %d of %d: %s\n", i+1, len(made), image.Name)
	}
	return nil
}

// report prints what failed and the table, and updates results.tsv.
func (o options) report(run suite.Run, out io.Writer) error {
	ran, err := readJUnit(run.JUnit())
	if err != nil {
		return err
	}
	var failed []string
	for name, test := range ran {
		if test.Result == results.Failed {
			failed = append(failed, fmt.Sprintf("%s\n    %s", name, test.Why))
		}
	}
	slices.Sort(failed)
	for _, f := range failed {
		fmt.Fprintln(out, "FAILED", f)
	}
	names, err := conformanceTests()
	if err != nil {
		return err
	}
	table, err := readTable(o.table())
	if err != nil {
		return err
	}
	merged := table.Merge(names, ran)
	whole := o.focus == "" && o.skip == "" && o.rerun == ""
	if whole || o.update {
		if err := writeTable(o.table(), merged); err != nil {
			return err
		}
	}
	fmt.Fprintf(out, "\nConformance tests, with what earlier runs found (this run: %d specs, %d failed):\n", len(ran), len(failed))
	if err := merged.Summary(out); err != nil {
		return err
	}
	fmt.Fprintf(out, "reports: %s, %s\n", run.JUnit(), run.Output())
	if len(failed) > 0 {
		return fmt.Errorf("%d %w; repeat them with RERUN=failed", len(failed), errFailed)
	}
	return nil
}

func (o options) table() string { return filepath.Join(o.module, "results.tsv") }
