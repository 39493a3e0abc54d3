package scheduler

import (
	"context"
	"sync"

	"github.com/pintle-io/pintle/kernel/scheduler/evaluate"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// pending are changes of plugins that the loop has not taken in. It is safe for
// concurrent use.
type pending struct {
	mu   sync.Mutex
	list []update // guarded by mu
	over bool     // the loop has ended: whoever comes late is closed; guarded by mu
}

// update is a plugin to set, to remove when instance is nil, or to wait for.
type update struct {
	name     string
	instance *evaluate.Instance
	awaited  bool
}

// add reports false when the loop has ended.
func (p *pending) add(u update) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.over {
		p.list = append(p.list, u)
	}
	return !p.over
}

func (p *pending) take() []update {
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.list
	p.list = nil
	return list
}

func (p *pending) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
}

// Set opens a plugin, or a new version of the one of that name, and puts it in
// place between two decisions. Plugins are asked in the order of their names,
// however they came. When opening fails, what was there before stays.
func (s *Scheduler) Set(ctx context.Context, name string, p Plugin) error {
	in, err := evaluate.Open(ctx, name, p, s.cycle.objects)
	if err != nil {
		return err
	}
	if !s.post(update{name: name, instance: in}) {
		return in.Close()
	}
	return nil
}

// Expect says that a plugin is not in place. With err nil it is about to come:
// nothing is decided until it has been set, removed, or expected with an error.
// With an error it could not be set, and its failure policy says what that
// means: with Fail no pod is placed and each is told err, with Ignore pods are
// placed without it. A plugin that only rehearses is never waited for.
func (s *Scheduler) Expect(name string, p Plugin, err error) {
	switch {
	case p.Rehearse:
	case err == nil:
		s.post(update{name: name, awaited: true})
	case p.FailurePolicy == Ignore:
		s.post(update{name: name})
	default:
		s.post(update{name: name, instance: evaluate.Absent(name, p, err)})
	}
}

// Remove takes a plugin out. Removing one that is not there is no error.
func (s *Scheduler) Remove(name string) { s.post(update{name: name}) }

// post hands an update to the loop; it reports false when Run has ended.
func (s *Scheduler) post(u update) bool {
	if !s.plugins.add(u) {
		return false
	}
	select {
	case s.wake <- struct{}{}:
	default:
	}
	return true
}

// applyUpdates puts plugins in place.
func (s *Scheduler) applyUpdates() {
	list := s.plugins.take()
	for _, u := range list {
		if u.awaited {
			s.awaited[u.name] = true
			continue
		}
		delete(s.awaited, u.name)
		if err := s.cycle.setPlugin(u.name, u.instance); err != nil {
			s.cfg.Log.Warn("close plugin", "plugin", u.name, "error", err)
		}
	}
	if len(list) > 0 {
		s.following.follow()
		s.preparing.wakeAll()
		// Another plugin may judge otherwise: everybody gets another try.
		s.cycle.queue.Event(schedule.AnyEvent, s.cfg.Clock.Now())
	}
}
