package loader

import (
	"slices"
	"sync"
)

// weight is what may not go on before a plugin's first load has ended.
type weight int

const (
	// other plugins are waited for by those who wait for all.
	other weight = iota
	// policy: something stands in for it meanwhile, so that requests are served,
	// but the server is not ready.
	policy
	// unforeseen: nothing is known of what it decides about, so that no request
	// is served. Only of what ships is it certain that this ends soon.
	unforeseen
)

// progress is how far the first load of what there was at the beginning is. It
// is safe for concurrent use.
type progress struct {
	admitting, decided, synced chan struct{}

	mu     sync.Mutex
	listed bool              // guarded by mu: all have been added
	first  map[string]weight // guarded by mu: those whose first load has not ended
}

func newProgress() *progress {
	return &progress{first: map[string]weight{}, admitting: make(chan struct{}), decided: make(chan struct{}), synced: make(chan struct{})}
}

// add notes a plugin that is about to be loaded; once all have been listed it
// does nothing.
func (p *progress) add(name string, w weight) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.listed {
		p.first[name] = w
	}
}

// allListed: whatever is added from now on is not waited for. It reports whether
// this is the first time.
func (p *progress) allListed() (first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	first, p.listed = !p.listed, true
	p.closeReached()
	return first
}

// ended: the first load of a plugin has, or it will never begin.
func (p *progress) ended(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.first, name)
	p.closeReached()
}

// closeReached closes the channels of what nothing stands against any more; p.mu is held.
func (p *progress) closeReached() {
	if !p.listed {
		return
	}
	heaviest := weight(-1)
	for _, w := range p.first {
		heaviest = max(heaviest, w)
	}
	for _, x := range []struct {
		w  weight
		ch chan struct{}
	}{{unforeseen, p.admitting}, {policy, p.decided}, {other, p.synced}} {
		if heaviest < x.w && !isClosed(x.ch) {
			close(x.ch)
		}
	}
}

// undecided names the policies that are still waited for, in order; listed is
// false while it is not even known which there are.
func (p *progress) undecided() (names []string, listed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, w := range p.first {
		if w >= policy {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, p.listed
}

func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}
