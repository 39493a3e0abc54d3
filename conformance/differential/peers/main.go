// Command peers gives the same work to kube-apiserver with
// kube-controller-manager and to `pintle server`, each on an etcd of its own
// with the same simulated nodes, and says what it cost both: time, CPU and
// memory.
//
// Each measurement has servers of its own, started for it and alone on the
// machine, and the two sides follow each other. What is not measured is done
// before: the start, nodes, objects to be deleted; then the servers come to
// rest.
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
	"regexp"
	"strings"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/peers/measure"
	"github.com/pintle-io/pintle/conformance/differential/peers/scenario"
	"github.com/pintle-io/pintle/conformance/differential/servers"
)

type options struct {
	pintle, bin, dir, module string
	only, side               string
	scale                    float64
	rounds                   int
	limit, profile           time.Duration
	quick                    bool
}

func main() {
	var o options
	flag.StringVar(&o.pintle, "pintle", "bin/pintle", "the executable")
	flag.StringVar(&o.bin, "bin", "bin/differential", "where Kubernetes' programs are kept; they are built when they are not there")
	flag.StringVar(&o.dir, "dir", "bin/peers", "where data, logs, profiles and reports go; data is lost at each start")
	flag.StringVar(&o.module, "module", "conformance/differential", "where this module is")
	flag.StringVar(&o.only, "run", "", "a regular expression: only such scenarios ("+names()+")")
	flag.StringVar(&o.side, "side", "", "only kubernetes, or only pintle")
	flag.Float64Var(&o.scale, "scale", 1, "what sizes are multiplied by")
	flag.IntVar(&o.rounds, "rounds", 3, "how often each scenario is measured on each side")
	flag.DurationVar(&o.limit, "limit", 20*time.Minute, "how long one measurement may take, with its preparation")
	flag.DurationVar(&o.profile, "profile", 0, "take a CPU profile of each server for so long from the beginning; the figures of such a run are not for a table")
	flag.BoolVar(&o.quick, "unsafe-no-fsync", false, "let etcd forget writes at a power loss")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		cancel()
		os.Exit(1)
	}
}

func names() string {
	var list []string
	for _, s := range scenario.All() {
		list = append(list, s.Name)
	}
	return strings.Join(list, ", ")
}

// prepare checks the options and builds what is to be started.
func (o *options) prepare(ctx context.Context, out io.Writer) (sides []side, list []scenario.Scenario, err error) {
	for _, path := range []*string{&o.pintle, &o.bin, &o.dir, &o.module} {
		if *path, err = filepath.Abs(*path); err != nil {
			return nil, nil, err
		}
	}
	if o.scale <= 0 || o.rounds < 1 {
		return nil, nil, errors.New("-scale must be more than 0, -rounds 1 at least")
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return nil, nil, fmt.Errorf("-run: %w", err)
	}
	for _, s := range scenario.All() {
		if only.MatchString(s.Name) {
			list = append(list, s)
		}
	}
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("-run %s is none of %s", o.only, names())
	}
	need := []servers.Binary{servers.Etcd}
	for _, s := range o.sides() {
		if o.side == "" || o.side == s.name {
			sides = append(sides, s)
			need = append(need, s.needs...)
		}
	}
	if len(sides) == 0 {
		return nil, nil, fmt.Errorf("-side %s is neither kubernetes nor pintle", o.side)
	}
	return sides, list, servers.Build(ctx, o.module, o.bin, out, need...)
}

func (o options) run(ctx context.Context, out io.Writer) error {
	sides, list, err := o.prepare(ctx, out)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return err
	}
	raw, err := os.Create(filepath.Join(o.dir, "raw.tsv"))
	if err != nil {
		return err
	}
	defer raw.Close()
	fmt.Fprintln(raw, measure.Header)
	report := &measure.Report{Scale: o.scale, Machine: measure.Machine()}
	var errs []error
	for round := range o.rounds {
		for _, sc := range list {
			for i := range sides {
				// Who is first changes from round to round.
				r := &runner{options: o, side: sides[(i+round)%len(sides)], scenario: sc, round: round + 1, out: out}
				result, err := r.run(ctx)
				if ctx.Err() != nil {
					return context.Cause(ctx)
				}
				if err != nil {
					r.say("failed: %v", err)
					errs = append(errs, fmt.Errorf("%s on %s, round %d: %w", sc.Name, r.side.name, r.round, err))
					continue
				}
				report.Add(*result)
				fmt.Fprintln(raw, result)
				r.say("%s", result.Summary())
			}
		}
	}
	if err := raw.Close(); err != nil {
		return err
	}
	table := report.Table(list)
	fmt.Fprintf(out, "\n%s\nraw lines: %s\n", table, raw.Name())
	return errors.Join(append(errs, os.WriteFile(filepath.Join(o.dir, "table.md"), []byte(table), 0o644))...)
}
