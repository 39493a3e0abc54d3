package controller

import (
	"time"

	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Points are the reconcile point of a plugin. The kernel owns cache, queue,
// back-off and concurrency; the plugin writes Reconcile.
type Points struct {
	// Watches say which objects are of interest and which requests their
	// changes make.
	Watches []Watch
	// Workers is how many requests may be reconciled at once, each by an
	// instance of its own. 0 means 1. An instance that nothing comes for is closed
	// after ten seconds, and the next request opens another. Only a controller with one
	// worker may rely on what it remembers, and only as long as a request of its
	// is to come back ([Result].RequeueAfter); after a fault that is gone, too.
	Workers int
	// Implements are the resources whose objects this controller brings about,
	// as Watch.Resource has them: whoever creates one is not told that nobody
	// does. Nil: those that are watched with [Self] (what controller-runtime calls
	// For). A controller that only helps, guarding deletions for example, names
	// none: an empty list.
	Implements []string
	// Reconcile brings the world one step closer to what is wanted for the
	// named object. It is level based: it reads the present state and does not
	// know which event woke it. A request is never reconciled by two workers
	// at once. An error puts the request back with growing delay, and Result
	// is then ignored.
	Reconcile func(client.Client, Request) (Result, error)

	// Close, when set, is called before the instance is discarded in order.
	// It is not called after a fault.
	Close func()
}

// Request names what to reconcile: an object, or with Labels everything that
// selects objects with these labels (see [Labels]). It is comparable.
// RATIONALE.md: "Why may a request name labels instead of an object?"
type Request struct {
	Namespace string // "" for cluster scoped
	Name      string // "" with Labels
	Labels    LabelSet
}

func (r Request) String() string { return wire.Request(r).String() }

// LabelSet is labels as one comparable value; Map is what it was made of.
type LabelSet = wire.LabelSet

// LabelSetOf makes the set of labels.
func LabelSetOf(labels map[string]string) LabelSet { return wire.LabelSetOf(labels) }

// Result is what a successful Reconcile asks for.
type Result struct {
	// RequeueAfter asks for another look after this time; 0: only when
	// something changes.
	RequeueAfter time.Duration
	// Enqueue are requests to queue besides, as if something they stand for had
	// changed. A request that stands for many, such as one of [Labels], names
	// them here instead of doing their work itself, so that no two workers
	// ever have the same one.
	Enqueue []Request
}
