package charts

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// Options say what is installed, and where.
type Options struct {
	// Kubectl is the program and what goes before all arguments. Required.
	Kubectl []string
	// Kubeconfig is of an administrator of the cluster. Required.
	Kubeconfig string
	// Seed of the definitions; equal seeds write equal ones.
	Seed uint64
	// Many is how many definitions are made at once; 0 is none.
	Many int
	// Only runs the charts whose names match; nil is all. The many are "many".
	Only *regexp.Regexp
	// KeepNamespaces leaves the charts' namespaces behind, where nobody would finish
	// their deletion: at an API server without controllers.
	KeepNamespaces bool
	// Memory reads how much memory the server has, in bytes; nil if that is not known.
	Memory func() (int64, error)
	// Out gets a line for each step when it is done. Required.
	Out io.Writer
}

// part is a chart's steps.
type part struct {
	name  string
	steps []step
	// left is what a run that was cut short may have left.
	left [][]object
}

// Run installs the charts, uses what they bring and removes them, and says of each step
// how long it took and whether it passed. Of a chart, no step is left out because one
// before it failed. What is left of a run before is removed first.
//
// # Errors
// That it could not begin. Steps that fail are counted.
func Run(ctx context.Context, o Options) (failed int, err error) {
	dir, err := os.MkdirTemp("", "charts")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	k := &tool{command: o.Kubectl, env: append(os.Environ(), "KUBECONFIG="+o.Kubeconfig, "KUBECTL_KUBERC=false"), dir: dir}
	if err := until(ctx, k.does("", "get", "--raw", "/readyz")); err != nil {
		return 0, fmt.Errorf("reach the cluster: %w", err)
	}
	parts := k.parts(o)
	total := 0
	for _, p := range parts {
		total += len(p.steps)
	}
	if total == 0 {
		return 0, errors.New("no chart has such a name")
	}
	done := 0
	for _, p := range parts {
		if err := k.clear(ctx, p); err != nil {
			return failed, fmt.Errorf("remove what a run before left of %s: %w", p.name, err)
		}
		for _, s := range p.steps {
			begin := time.Now()
			err := s.do(ctx)
			done++
			if err != nil {
				failed++
			}
			fmt.Fprintf(o.Out, "%3d/%d  %-13s %-72s %6.1f s  %s\n", done, total, p.name, s.what, time.Since(begin).Seconds(), outcome(s, err))
			if ctx.Err() != nil {
				return failed, ctx.Err()
			}
		}
	}
	fmt.Fprintf(o.Out, "\n%d steps, %d failed\n", total, failed)
	return failed, nil
}

func outcome(s step, err error) string {
	switch {
	case err != nil:
		return "FAILED: " + err.Error()
	case s.note != nil:
		return *s.note
	}
	return "ok"
}

// parts are the charts that are asked for.
func (k *tool) parts(o Options) []part {
	all := Charts(o.Seed)
	own := [][]step{k.certificateSteps(all[0]), k.deliverySteps(all[1]), k.monitoringSteps(all[2])}
	var parts []part
	add := func(p part) {
		if o.Only == nil || o.Only.MatchString(p.name) {
			parts = append(parts, p)
		}
	}
	for i, c := range all {
		if o.KeepNamespaces {
			c.kept = c.Objects[:1]
		}
		add(part{c.Name, k.installSteps(c, own[i]), [][]object{c.Webhooks, c.Definitions, c.rest()}})
	}
	if o.Many > 0 {
		many := Many(o.Seed, o.Many)
		add(part{"many", k.manySteps(many, o.Memory), [][]object{many}})
	}
	return parts
}

// clear removes what a run before left.
func (k *tool) clear(ctx context.Context, p part) error {
	for _, objects := range p.left {
		if err := k.deletes(objects)(ctx); err != nil {
			return err
		}
	}
	return nil
}
