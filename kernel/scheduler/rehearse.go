package scheduler

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
)

// Rehearsal is what a plugin that decides nothing said of a pod.
type Rehearsal struct {
	Plugin string `json:"plugin"`
	// Message says what the plugin would have refused; "" when it has nothing
	// against what was decided.
	Message string `json:"message,omitempty"`
}

// rehearsal asks one plugin beside the others, as if it were alone. It shares
// the columns with the engine that decides, and nothing else: neither what it
// answers nor that it fails can be seen there.
type rehearsal struct {
	name   string
	engine *engine
}

// rehearsals are the plugins that are asked and decide nothing. They are used
// by one goroutine.
type rehearsals struct {
	like *engine // whose table and log they share
	list []*rehearsal
}

// put takes in a plugin, or another version of one, or takes it out when u is
// nil.
func (r *rehearsals) put(name string, u *unit) error {
	at := slices.IndexFunc(r.list, func(x *rehearsal) bool { return x.name == name })
	switch {
	case at < 0 && u == nil:
		return nil
	case at < 0:
		r.list = append(r.list, &rehearsal{name: name, engine: &engine{table: r.like.table, log: r.like.log, m: r.like.m,
			rand: rand.New(rand.NewPCG(1, 1)), shapes: map[string]*shape{}}})
		at = len(r.list) - 1
	}
	e := r.list[at].engine
	if u == nil {
		r.list = slices.Delete(r.list, at, at+1)
	} else {
		u.plugin.FailurePolicy = Ignore // nobody waits for it
	}
	return e.replace(name, u)
}

// judge asks all about a pod before what was decided is carried out.
func (r *rehearsals) judge(ctx context.Context, rec *sdk.PodRecord, decided *outcome, now time.Time) (out []Rehearsal) {
	for _, x := range r.list {
		said, err := x.engine.decide(ctx, rec, now)
		if ctx.Err() != nil {
			return out
		}
		v := Rehearsal{Plugin: x.name}
		label := "agrees"
		switch {
		case err != nil || len(x.engine.units) == 0 || len(x.engine.without) > 0:
			v.Message, label = "cannot be asked now", "failed"
		case said.fit != nil:
			v.Message, label = "would refuse every node: "+said.fit.Error(), "refuses"
		case decided.fit == nil:
			if text, refused := x.engine.against(decided.row); refused {
				v.Message, label = fmt.Sprintf("would refuse node %s: %s", decided.node, text), "refuses"
			}
		}
		r.like.m.rehearsed.WithLabelValues(x.name, label).Inc()
		out = append(out, v)
	}
	return out
}

// against tells whether the pod decided about last was refused on a row.
func (e *engine) against(row int) (text string, refused bool) {
	sh := e.judged
	if sh == nil {
		return "", false
	}
	if row < len(sh.row) && sh.row[row] != 0 {
		return strings.Join(sh.reasons[sh.row[row]-1].texts, ", "), true
	}
	if e.needsAll(e.units, sh) && row < len(e.totals.scores) && e.totals.scores[row] == absent {
		return "it looks at other nodes, too", true
	}
	return "", false
}

// close closes all.
func (r *rehearsals) close() (errs []error) {
	for _, x := range r.list {
		for _, u := range x.engine.units {
			errs = append(errs, u.close())
		}
	}
	r.list = nil
	return errs
}

// replace puts a plugin where its mode wants it: among those that decide, or
// beside them. A nil unit takes the plugin out.
func (c *core) replace(name string, u *unit) error {
	decides, beside := u, (*unit)(nil)
	if u != nil && u.plugin.Rehearse {
		decides, beside = nil, u
	}
	err := c.engine.replace(name, decides)
	if errBeside := c.rehearsals.put(name, beside); err == nil {
		err = errBeside
	}
	return err
}
