package loader

import (
	"context"
	"fmt"
	"sync"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// How many plugins are opened at the same time: each may compile a module,
// which takes a core and tens of MiB. Plugins that failed before have places of
// their own, so that those that hang again and again keep nobody waiting.
const (
	maxLoads   = 4
	maxReloads = 2
)

// jobs load and unload plugins beside the loader's goroutine. Those of one name
// run one after another, those of different names at the same time.
type jobs struct {
	l      *Loader
	slots  map[string]*slot // used by the loader's goroutine
	count  int
	fresh  chan struct{} // places for first tries
	again  chan struct{} // places for further ones
	flight *sync.WaitGroup
}

// slot is what the consumers hold under one name. Its jobs own it, one after
// another.
type slot struct {
	running *plugin.Plugin
	served  []bool // by index of Config.Consumers

	// Of the newest job; used by the loader's goroutine.
	cancel context.CancelFunc
	over   chan struct{}
}

// result says how a load ended.
type result struct {
	job     int
	object  *v1alpha1.Plugin
	running *plugin.Plugin // what the consumers hold now; nil for nothing
	err     error
}

func newJobs(l *Loader) jobs {
	return jobs{l: l, slots: map[string]*slot{}, fresh: make(chan struct{}, maxLoads), again: make(chan struct{}, maxReloads), flight: &sync.WaitGroup{}}
}

// wait waits until all jobs are over.
func (j *jobs) wait() { j.flight.Wait() }

// begin runs f after the jobs of that name before it; what they are still
// opening is given up. ctx ends when the next job begins.
func (j *jobs) begin(ctx context.Context, name string, f func(context.Context, *slot)) {
	s := j.slots[name]
	if s == nil {
		s = &slot{served: make([]bool, len(j.l.Consumers)), cancel: func() {}, over: make(chan struct{})}
		close(s.over)
		j.slots[name] = s
	}
	s.cancel()
	before, over := s.over, make(chan struct{})
	ctx, s.cancel = context.WithCancel(ctx)
	s.over = over
	j.flight.Go(func() {
		defer close(over)
		<-before
		f(ctx, s)
	})
}

// load opens p and delivers it to its consumers. The number that it returns is in
// the result.
func (j *jobs) load(ctx context.Context, p *v1alpha1.Plugin, again bool) (number int) {
	j.count++
	number = j.count
	places := j.fresh
	if again {
		places = j.again
	}
	if !again && j.slots[p.Name] == nil {
		// Nobody else has the name: before the next request, not soon after.
		j.l.expect(p, nil)
	}
	j.begin(ctx, p.Name, func(opening context.Context, s *slot) {
		if !again && s.running == nil {
			j.l.expect(p, nil)
		}
		err := j.open(opening, ctx, s, p, places)
		if err != nil && s.running == nil && opening.Err() == nil {
			j.l.expect(p, err)
		}
		select {
		case j.l.results <- result{job: number, object: p, running: s.running, err: err}:
		case <-ctx.Done():
		}
	})
	return number
}

// open is the work of a load. opening may end before ctx does: when something
// newer is to be loaded under the name.
func (j *jobs) open(opening, ctx context.Context, s *slot, p *v1alpha1.Plugin, places chan struct{}) error {
	select {
	case places <- struct{}{}:
	case <-opening.Done():
		return opening.Err()
	}
	defer func() { <-places }()
	loaded, err := j.l.opener.open(opening, p)
	if err != nil {
		return err
	}
	if err := s.deliver(ctx, j.l, p, loaded); err != nil {
		return err
	}
	s.running = loaded
	return nil
}

// remove takes a plugin from its consumers. When the server stops, those that
// decide about requests keep it: see plugin.Expecter.
func (j *jobs) remove(name string, stopping bool) {
	s := j.slots[name]
	if s == nil {
		return
	}
	j.begin(context.Background(), name, func(_ context.Context, s *slot) {
		for i, c := range j.l.Consumers {
			_, expects := c.Sink.(plugin.Expecter)
			if expects && stopping || !expects && !s.served[i] {
				continue
			}
			c.Sink.Remove(name)
			s.served[i] = false
		}
		s.running = nil
	})
}

// sweep forgets the slots of names that are gone.
func (j *jobs) sweep(known func(name string) bool) {
	for name, s := range j.slots {
		select {
		case <-s.over:
			if !known(name) {
				s.cancel()
				delete(j.slots, name)
			}
		default:
		}
	}
}

// deliver gives p to the consumers of its points. When one refuses, those that
// took it are given the version before again.
func (s *slot) deliver(ctx context.Context, l *Loader, object *v1alpha1.Plugin, p *plugin.Plugin) error {
	var done []int
	for i, c := range l.Consumers {
		if !serves(c, p) {
			continue
		}
		if err := c.Sink.Set(ctx, p.Name, p); err != nil {
			err = fmt.Errorf("%s: %w", c.Name, err)
			s.withdraw(ctx, l, object, done, err)
			return err
		}
		done = append(done, i)
	}
	for i, c := range l.Consumers {
		now := serves(c, p)
		if _, expects := c.Sink.(plugin.Expecter); (s.served[i] || expects) && !now {
			c.Sink.Remove(p.Name)
		}
		s.served[i] = now
	}
	return nil
}

// withdraw takes back what a consumer after those that are done refused with err.
func (s *slot) withdraw(ctx context.Context, l *Loader, object *v1alpha1.Plugin, done []int, err error) {
	name := object.Name
	if s.running == nil {
		l.expect(object, err) // in its place, with no moment in between
	}
	for _, i := range done {
		c := l.Consumers[i]
		if s.running == nil || !s.served[i] {
			if _, expects := c.Sink.(plugin.Expecter); !expects || s.running != nil {
				c.Sink.Remove(name)
			}
			continue
		}
		if err := c.Sink.Set(ctx, name, s.running); err != nil {
			l.Log.Error("plugin lost its version before", "plugin", name, "consumer", c.Name, "error", err)
		}
	}
}
