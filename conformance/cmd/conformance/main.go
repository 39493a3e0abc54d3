// Command conformance runs the black-box suite of package conformance against
// a cluster and prints a table of its cases.
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
	"slices"
	"strings"
	"time"

	"k8s.io/client-go/tools/clientcmd"

	"github.com/pintle-io/pintle/conformance"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	failed, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	code := exitCode(failed, err)
	if code == 2 {
		fmt.Fprintln(os.Stderr, "conformance:", err)
	}
	os.Exit(code)
}

// exitCode tells cases that failed (1) from a suite that could not run (2).
func exitCode(failed int, err error) int {
	switch {
	case errors.Is(err, flag.ErrHelp): // it was asked for, and printed
		return 0
	case err != nil:
		return 2
	case failed > 0:
		return 1
	}
	return 0
}

// run runs the cases that args select and returns how many of them failed.
func run(ctx context.Context, args []string, out, usage io.Writer) (failed int, err error) {
	fl := flag.NewFlagSet("conformance", flag.ContinueOnError)
	fl.SetOutput(usage)
	kubeconfig := fl.String("kubeconfig", os.Getenv("KUBECONFIG"), "how to reach the cluster, as an administrator")
	only := fl.String("run", "", "run the cases whose names match this regular expression")
	list := fl.Bool("list", false, "list the cases and what they stand for")
	timeout := fl.Duration("timeout", time.Minute, "how long one case may take")
	parallel := fl.Int("parallel", 4, "how many cases run at a time")
	if err := fl.Parse(args); err != nil {
		return 0, err
	}
	if *list {
		for _, c := range conformance.Cases() {
			fmt.Fprintf(out, "%-28s %s\n", c.Name, c.Stands)
		}
		return 0, nil
	}
	c := conformance.Config{Timeout: *timeout, Parallel: *parallel, Done: func(r conformance.Result) { printResult(out, r) }}
	if *only != "" {
		if c.Only, err = regexp.Compile(*only); err != nil {
			return 0, fmt.Errorf("-run: %w", err)
		}
	}
	c.REST, err = clientcmd.BuildConfigFromFlags("", *kubeconfig)
	switch {
	case err != nil && *kubeconfig == "": // and this is no pod
		return 0, errors.New("which cluster? Name its kubeconfig by -kubeconfig FILE or $KUBECONFIG; that of `pintle up` is /var/lib/pintle/admin.kubeconfig")
	case err != nil:
		return 0, fmt.Errorf("-kubeconfig: %w", err)
	}
	if c.Only != nil && !slices.ContainsFunc(conformance.Cases(), func(x conformance.Case) bool { return c.Only.MatchString(x.Name) }) {
		return 0, fmt.Errorf("-run %q matches no case; -list names them", *only)
	}
	start := time.Now()
	results, err := conformance.Run(ctx, c)
	if err != nil {
		return 0, err
	}
	var passed, left int
	for _, r := range results {
		switch {
		case r.LeftOut != "":
			left++
		case r.Err != nil:
			failed++
		default:
			passed++
		}
	}
	fmt.Fprintf(out, "\n%d cases: %d passed, %d failed, %d left out, %.1f s\n", len(results), passed, failed, left, time.Since(start).Seconds())
	return failed, nil
}

func printResult(out io.Writer, r conformance.Result) {
	state := "pass"
	switch {
	case r.LeftOut != "":
		state = "left out"
	case r.Err != nil:
		state = "FAIL"
	}
	fmt.Fprintf(out, "%-9s %-28s %6.2fs  %s\n", state, r.Case.Name, r.Took.Seconds(), r.Case.Stands)
	if r.Err != nil {
		fmt.Fprintf(out, "          %s\n", strings.ReplaceAll(r.Err.Error(), "\n", "\n          "))
	}
	if r.LeftOut != "" {
		fmt.Fprintf(out, "          %s\n", r.LeftOut)
	}
}
