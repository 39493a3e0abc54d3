// Command bench measures the figures that Pintle promises and prints them as
// one table, each beside its target, with a description of the machine. What
// misses its target is marked, and the hottest functions of the CPU profile
// taken meanwhile are printed below.
//
// The control plane that is measured runs in a process of its own (this
// program again, see controlplane.go), so that the server's CPU time can be told from
// the clients'. It is the same kernel with the same built-in plugins as in
// `pintle server`, on embedded etcd with fsync.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == controlPlaneArg {
		if err := serveControlPlane(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "control plane:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is one run.
type bench struct {
	dir      string // of data, removed afterwards
	profiles string
	pintle   string // the binary
	report   report
}

// section is a group of figures measured together.
type section struct {
	name string
	what string
	run  func(*bench, context.Context) error
	most time.Duration // it may take
}

var sections = []section{
	{"start", "cold start and idle memory", (*bench).start, 70 * time.Second},
	{"node", "cold start of pintle up, with a node", (*bench).startNode, 90 * time.Second},
	{"decision", "scheduling decisions, plugins as WASM", (*bench).decisions, 90 * time.Second},
	{"deployment", "a Deployment of 5,000 pods over 1,000 nodes", (*bench).deployment, 150 * time.Second},
	{"memory", "memory under load and after it", (*bench).memory, 12 * time.Minute},
	{"rewriting", "memory under updates of one large object", (*bench).rewriting, 5 * time.Minute},
	{"http", "LIST, watch and create through HTTP", (*bench).http, 120 * time.Second},
	{"custom", "custom objects, and their conversion", (*bench).custom, 150 * time.Second},
	{"pod", "a pod's life on a node, beside the same calls by hand", (*bench).pods, 120 * time.Second},
	{"service", "load balancer", (*bench).services, 120 * time.Second},
}

func run(ctx context.Context, args []string) error {
	fl := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := fl.String("run", "", "run the sections whose names match this regular expression")
	dir := fl.String("dir", "", "where data are kept while it runs (default: a temporary directory; its disk is measured, too)")
	profiles := fl.String("profiles", filepath.Join(os.TempDir(), "pintle-bench"), "where CPU profiles go")
	pintle := fl.String("pintle", "bin/pintle", "the binary")
	limit := fl.Duration("timeout", 18*time.Minute, "bound of the whole run")
	if err := fl.Parse(args); err != nil {
		return err
	}
	match, err := regexp.Compile(*only)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	data, err := os.MkdirTemp(*dir, "pintle-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(data)
	if err := os.MkdirAll(*profiles, 0o755); err != nil {
		return err
	}
	b := &bench{dir: data, profiles: *profiles, pintle: *pintle}
	if b.pintle, err = filepath.Abs(b.pintle); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, *limit, fmt.Errorf("not done within %s", *limit))
	defer cancel()
	for _, s := range sections {
		if !match.MatchString(s.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%-10s %s …\n", s.name, s.what)
		begin := time.Now()
		if err := b.measure(ctx, s); err != nil {
			b.report.fail(s.what, err)
		}
		fmt.Fprintf(os.Stderr, "%-10s %.1f s\n", "", time.Since(begin).Seconds())
	}
	return b.report.print(os.Stdout, machine(data))
}

// measure runs one section within its time, so that one that hangs costs no
// other its figures.
func (b *bench) measure(ctx context.Context, s section) error {
	ctx, cancel := context.WithTimeoutCause(ctx, s.most, fmt.Errorf("not done within %s", s.most))
	defer cancel()
	err := s.run(b, ctx)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}
