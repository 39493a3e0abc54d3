package controller

import (
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
)

// Points are the reconcile point of a plugin. The kernel owns cache, queue,
// back-off and concurrency; the plugin writes Reconcile.
type Points struct {
	// Watches say which objects are of interest and which requests their
	// changes make.
	Watches []Watch
	// Workers is how many requests may be reconciled at once, each by an
	// instance of its own. 0 means 1.
	Workers int
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

// Request names what to reconcile.
type Request struct {
	Namespace string // "" for cluster scoped
	Name      string
}

func (r Request) String() string {
	if r.Namespace == "" {
		return r.Name
	}
	return r.Namespace + "/" + r.Name
}

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

// labelsPrefix begins the name of a request that stands for labels; no
// object's name does.
const labelsPrefix = "~"

// LabelsRequest is the request that [Labels] makes of an object.
func LabelsRequest(namespace string, labels map[string]string) Request {
	parts := make([]string, 0, len(labels))
	for k, v := range labels {
		parts = append(parts, k+"="+v)
	}
	slices.Sort(parts)
	return Request{Namespace: namespace, Name: labelsPrefix + strings.Join(parts, ",")}
}

// Labels are those that the request stands for; ok is false when it names an
// object.
func (r Request) Labels() (labels map[string]string, ok bool) {
	list, ok := strings.CutPrefix(r.Name, labelsPrefix)
	if !ok {
		return nil, false
	}
	labels = map[string]string{}
	for part := range strings.SplitSeq(list, ",") {
		if k, v, ok := strings.Cut(part, "="); ok {
			labels[k] = v
		}
	}
	return labels, true
}
