// Command differential sends the same generated requests to kube-apiserver and
// to Pintle, and says in what their answers differ. Differences that
// known.tsv does not explain make it fail.
//
// It is a module of its own, so that Pintle does not depend on kube-apiserver.
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
	"syscall"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/api"
	"github.com/pintle-io/pintle/conformance/differential/generate"
	"github.com/pintle-io/pintle/conformance/differential/report"
	"github.com/pintle-io/pintle/conformance/differential/servers"
)

type options struct {
	seed        uint64
	from, n     int
	duration    time.Duration
	pintle, dir string
	module      string
	static      bool
	only        string
}

func main() {
	var o options
	flag.Uint64Var(&o.seed, "seed", 1, "what the requests are drawn from: the same seed makes the same ones")
	flag.IntVar(&o.from, "from", 0, "the first sequence of requests")
	flag.IntVar(&o.n, "n", 0, "how many sequences are sent (0: as many as the time allows)")
	flag.DurationVar(&o.duration, "for", 10*time.Minute, "how long sequences are begun")
	flag.BoolVar(&o.static, "static", true, "send also what depends on no object: discovery, schemas, first objects")
	flag.StringVar(&o.only, "only", "", "a regular expression over `resource shape`: send only such sequences, those of one round if -n says nothing (v1/pods methods)")
	flag.StringVar(&o.pintle, "pintle", "bin/pintle", "the executable")
	flag.StringVar(&o.dir, "dir", "bin/differential", "where binaries and reports are kept")
	flag.StringVar(&o.module, "module", "conformance/differential", "where this module is")
	flag.Parse()
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		cancel()
		os.Exit(1)
	}
}

// errUnknown is the error of a run that went well and found something new.
var errUnknown = errors.New("answers differ in ways that known.tsv does not explain")

func (o options) run(ctx context.Context, out io.Writer) (err error) {
	for _, path := range []*string{&o.dir, &o.pintle, &o.module} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	only, err := regexp.Compile(o.only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	f, err := os.Open(filepath.Join(o.module, "known.tsv"))
	if err != nil {
		return err
	}
	known, err := report.ReadKnown(f)
	_ = f.Close()
	if err != nil {
		return fmt.Errorf("known.tsv: %w", err)
	}
	if err := servers.Build(ctx, o.module, o.dir, out, servers.APIServer, servers.Etcd); err != nil {
		return err
	}
	r, err := o.start(ctx, out)
	if err != nil {
		return err
	}
	defer r.close()
	r.report, r.only = report.New(known), only
	if o.only != "" && o.n == 0 {
		o.n = r.generator.Round()
	}
	if err := r.run(ctx, o, out); err != nil {
		return err
	}
	last := filepath.Join(o.dir, "last")
	if err := r.report.Write(last); err != nil {
		return err
	}
	summary, err := os.ReadFile(filepath.Join(last, report.Summary))
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "\n%s\nmore: %s, seed %d\n", summary, last, o.seed)
	if _, _, unknown := r.report.Counts(); unknown > 0 {
		return errUnknown
	}
	return nil
}

// start starts both servers with empty data and prepares them.
func (o options) start(ctx context.Context, out io.Writer) (_ *runner, err error) {
	data := filepath.Join(o.dir, "data")
	if err := os.RemoveAll(data); err != nil {
		return nil, err
	}
	r := &runner{}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	fmt.Fprintln(out, "starting kube-apiserver and pintle")
	if r.upstream, err = servers.StartUpstream(ctx, o.dir, filepath.Join(data, "upstream")); err != nil {
		return nil, err
	}
	if r.pintle, err = servers.StartPintle(ctx, o.pintle, filepath.Join(data, "pintle")); err != nil {
		return nil, err
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	served, err := api.Read(ctx, r.upstream)
	if err != nil {
		return nil, err
	}
	r.generator, err = generate.New(served, o.seed)
	return r, err
}
