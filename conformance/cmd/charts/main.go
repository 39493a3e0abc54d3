// Command charts installs what charts of well-known operators bring, by kubectl, in the
// cluster of $KUBECONFIG or in a server that it starts, and prints a table of the steps.
// See package conformance/charts.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/pintle-io/pintle/conformance/charts"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM) // a server of its own ends with it
	failed, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp): // it was asked for, and printed
	case err != nil:
		fmt.Fprintln(os.Stderr, "charts:", err)
		os.Exit(2)
	case failed > 0:
		os.Exit(1)
	}
}

// run returns how many steps failed, or why it could not begin.
func run(ctx context.Context, args []string, out, usage io.Writer) (failed int, err error) {
	fl := flag.NewFlagSet("charts", flag.ContinueOnError)
	fl.SetOutput(usage)
	o := charts.Options{Out: out}
	fl.StringVar(&o.Kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the cluster, as an administrator; none: a server is started")
	kubectl := fl.String("kubectl", "", "kubectl, with what goes before its arguments (default: the one of -pintle, else that of the machine)")
	pintle := fl.String("pintle", "", "the binary that a server is started of")
	only := fl.String("run", "", "run the charts whose names match this regular expression: certificates, delivery, monitoring, many")
	fl.IntVar(&o.Many, "many", 300, "how many definitions are made at once; 0 is none")
	fl.Uint64Var(&o.Seed, "seed", 1, "equal seeds write equal definitions")
	if err := fl.Parse(args); err != nil {
		return 0, err
	}
	if o.Many < 0 || o.Many > 10_000 {
		return 0, fmt.Errorf("-many %d: want 0 to 10000", o.Many)
	}
	if *only != "" {
		if o.Only, err = regexp.Compile(*only); err != nil {
			return 0, fmt.Errorf("-run: %w", err)
		}
	}
	switch {
	case *kubectl != "":
		o.Kubectl = strings.Fields(*kubectl)
	case *pintle != "":
		o.Kubectl = []string{*pintle, "kubectl"}
	default:
		o.Kubectl = []string{"kubectl"}
	}
	if o.Kubeconfig == "" {
		if *pintle == "" {
			return 0, errors.New("no cluster: set $KUBECONFIG, or name with -pintle a binary that a server is started of")
		}
		s, err := start(ctx, *pintle)
		if err != nil {
			return 0, err
		}
		defer s.stop()
		o.Kubeconfig, o.Memory = s.kubeconfig, s.memory
	}
	return charts.Run(ctx, o)
}
