// Package report collects the differences of a run: in groups, with the reasons
// of those that are known, and one example of each.
package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pintle-io/pintle/conformance/differential/compare"
	"github.com/pintle-io/pintle/conformance/differential/exchange"
)

// Found is what came of one request.
type Found struct {
	Sequence    int
	Shape       string
	Step        int
	Request     *exchange.Request
	Answers     [2]*exchange.Answer
	Differences []compare.Difference
}

// line is a difference as patterns see it.
func (f *Found) line(d compare.Difference) string {
	return fmt.Sprintf("%s %s %s", f.Request.Resource, f.Request.Verb, d)
}

// group is differences of one sort.
type group struct {
	resource, verb, where string
	reason                string // "" if it is not known
	count                 int
	example               *Found
	difference            compare.Difference
	resources             map[string]bool
}

// Report is what a run found. Its methods may be called concurrently.
type Report struct {
	mu        sync.Mutex
	known     *Known
	requests  int
	differing int // requests
	unknown   int // requests with a difference that is not known
	codes     map[int]int
	groups    map[string]*group
}

// New begins a report.
func New(k *Known) *Report {
	return &Report{known: k, codes: map[int]int{}, groups: map[string]*group{}}
}

// Add adds what came of a request.
func (r *Report) Add(f *Found) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests++
	r.codes[f.Answers[0].Code]++
	if len(f.Differences) == 0 {
		return
	}
	r.differing++
	new := false
	for _, d := range f.Differences {
		new = r.add(f, d) || new
	}
	if new {
		r.unknown++
	}
}

// add says whether the difference is not known.
func (r *Report) add(f *Found, d compare.Difference) bool {
	reason := r.known.reason(f.line(d))
	g := &group{resource: f.Request.Resource, verb: f.Request.Verb, where: d.Where, reason: reason, example: f, difference: d}
	key := g.resource + "\t" + g.verb + "\t" + g.where
	if reason != "" {
		g.resource, key = "", "known\t"+reason
	}
	if have, ok := r.groups[key]; ok {
		g = have
	} else {
		g.resources = map[string]bool{}
		r.groups[key] = g
	}
	g.count++
	g.resources[f.Request.Resource] = true
	return reason == ""
}

// Counts are how many requests were answered, how many differently, and how
// many differently in a way that is not known.
func (r *Report) Counts() (requests, differing, unknown int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.requests, r.differing, r.unknown
}

// sorted are the groups, those not known first, the largest first.
func (r *Report) sorted() []*group {
	return slices.SortedFunc(maps.Values(r.groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(a.reason, b.reason)*b2i(a.reason == "" || b.reason == ""), cmp.Compare(b.count, a.count),
			cmp.Compare(a.resource, b.resource), cmp.Compare(a.verb, b.verb), cmp.Compare(a.where, b.where), cmp.Compare(a.reason, b.reason))
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
