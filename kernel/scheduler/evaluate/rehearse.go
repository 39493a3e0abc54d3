package evaluate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// Rehearsal is what a plugin that decides nothing said of a pod.
type Rehearsal struct {
	Plugin string `json:"plugin"`
	// Message says what the plugin would have refused; "" when it has nothing
	// against what was decided.
	Message string `json:"message,omitempty"`
}

// rehearsal asks one plugin beside the others, as if it were alone. It shares
// the columns with the evaluator that decides, and nothing else: neither what it
// answers nor that it fails can be seen there.
type rehearsal struct {
	name      string
	evaluator *Evaluator
}

// Rehearsals are the plugins that are asked and decide nothing. They are used
// by one goroutine.
type Rehearsals struct {
	cfg  Config
	list []*rehearsal
}

// NewRehearsals makes a set without plugins that looks at the same table as the
// evaluator of that config.
func NewRehearsals(cfg Config) *Rehearsals { return &Rehearsals{cfg: cfg} }

// Len is the number of plugins.
func (r *Rehearsals) Len() int { return len(r.list) }

// Replace takes in a plugin, or another version of one, or takes it out when in
// is nil.
func (r *Rehearsals) Replace(name string, in *Instance) error {
	at := slices.IndexFunc(r.list, func(x *rehearsal) bool { return x.name == name })
	switch {
	case at < 0 && in == nil:
		return nil
	case at < 0:
		cfg := r.cfg
		cfg.Seed = rand.NewPCG(1, 1)
		e := New(cfg)
		e.scores = nil
		r.list = append(r.list, &rehearsal{name: name, evaluator: e})
		at = len(r.list) - 1
	}
	e := r.list[at].evaluator
	if in == nil {
		r.list = slices.Delete(r.list, at, at+1)
	} else {
		in.plugin.FailurePolicy = Ignore // nobody waits for it
	}
	return e.Replace(name, in)
}

// Ask asks all about a pod before what was decided is carried out.
func (r *Rehearsals) Ask(ctx context.Context, pod *Pod, decided *Outcome, now time.Time) (out []Rehearsal) {
	for _, x := range r.list {
		said, err := x.evaluator.Decide(ctx, pod, now)
		if ctx.Err() != nil {
			return out
		}
		v := Rehearsal{Plugin: x.name}
		label := "agrees"
		switch {
		case err != nil || x.evaluator.Len() == 0 || len(x.evaluator.without) > 0:
			v.Message, label = "cannot be asked now", "failed"
		case said.Fit != nil:
			v.Message, label = "would refuse every node: "+said.Fit.Error(), "refuses"
		case decided.Fit == nil:
			if text, refused := x.evaluator.refusal(decided.Row); refused {
				v.Message, label = fmt.Sprintf("would refuse node %s: %s", decided.Node, text), "refuses"
			}
		}
		r.cfg.Metrics.Rehearsed.WithLabelValues(x.name, label).Inc()
		out = append(out, v)
	}
	return out
}

// Instances are the plugins that are asked beside.
func (r *Rehearsals) Instances() (out []*Instance) {
	for _, x := range r.list {
		out = append(out, x.evaluator.instances...)
	}
	return out
}

// Close closes all.
func (r *Rehearsals) Close() error {
	var errs []error
	for _, x := range r.list {
		errs = append(errs, x.evaluator.Close())
	}
	r.list = nil
	return errors.Join(errs...)
}
