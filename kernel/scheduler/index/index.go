// Package index keeps counts of pods by topology domain: how many pods that a
// selector matches are on the nodes that share a value of a label. Plugins ask
// for them (pod topology spread, affinity and anti-affinity between pods); one
// Index serves all plugins and all pods' signatures that ask alike. Counts are
// kept up to date from the table's log of changed rows, never by a new look at
// all pods, and an Index tells exactly for which rows its value changed, so that
// remembered verdicts about the others stay (RATIONALE.md, "Why are counts of
// pods kept by the kernel?").
//
// It has no clock, does no I/O and starts no goroutine. A [Set] and its indexes
// are used by one goroutine.
package index

import (
	"math"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// Spec says what is counted.
type Spec struct {
	// TopologyKey is the label whose values are the domains.
	TopologyKey string
	// Namespaces of the pods; none means all.
	Namespaces []string
	// Selector over the pods' labels, as in `kubectl -l`; "" matches all.
	Selector string
	// SkipTerminating leaves out the pods that are being deleted.
	SkipTerminating bool
}

// Pod is what an index looks at of a pod.
type Pod struct {
	Namespace   string
	Labels      map[string]string // shared, and not changed
	Terminating bool              // it has a deletion timestamp
}

// None is the value of a row whose node is in no domain.
const None = -1

// Summary of the domains that have a node.
type Summary struct {
	Domains  int
	Min, Max int64 // pods in a domain; 0 without domains
}

// Index counts the pods of one [Spec].
type Index struct {
	table      *columns.Table
	key        string
	namespaces map[string]bool // nil: all
	selector   labels.Selector
	// skipTerminating is as in the Spec.
	skipTerminating bool

	onNode map[string]int64 // pods that match, also on nodes not known yet

	pos     uint64 // of the table's log that rows are up to date with
	built   bool
	change  uint64 // rises with every change of a value
	rows    []rowState
	domains []domain // 0 is no domain
	ids     map[string]uint32
	summary Summary
	fresh   bool // summary is

	used uint64 // sweep of the last use
}

// rowState is a node as it counts in its domain.
type rowState struct {
	domain  uint32
	pods    int64
	changed uint64 // when it came into its domain
}

type domain struct {
	pods    int64
	nodes   int
	changed uint64
}

// Matches tells whether a pod is one that is counted.
func (x *Index) Matches(p Pod) bool {
	return (x.namespaces == nil || x.namespaces[p.Namespace]) && !(x.skipTerminating && p.Terminating) && x.selector.Matches(labels.Set(p.Labels))
}

// count notes that a pod came to a node, with by 1, or left it, with -1. The
// table's log must name the node's row afterwards.
func (x *Index) count(node string, by int64) {
	if n := x.onNode[node] + by; n != 0 {
		x.onNode[node] = n
	} else {
		delete(x.onNode, node)
	}
}

// Update applies what changed in the table.
func (x *Index) Update() {
	n := x.table.Rows()
	changed, ok := x.table.Since(x.pos)
	if !ok || !x.built {
		x.built = true
		for row := range max(n, len(x.rows)) {
			x.updateRow(row, n)
		}
	} else {
		for _, row := range changed {
			x.updateRow(int(row), n)
		}
	}
	if len(x.rows) > n {
		x.rows = x.rows[:n]
	}
	x.pos = x.table.Position()
}

// updateRow counts a row anew; n is how many there are now.
func (x *Index) updateRow(row, n int) {
	now := rowState{}
	if row < n {
		node := x.table.Node(row)
		if v, ok := node.Labels[x.key]; ok {
			now.domain, now.pods = x.domain(v), x.onNode[node.Name]
		}
	}
	for row >= len(x.rows) && row < n {
		x.change++
		x.rows = append(x.rows, rowState{changed: x.change})
	}
	if row >= len(x.rows) {
		return
	}
	old := &x.rows[row]
	if old.domain == now.domain && old.pods == now.pods {
		return
	}
	x.fresh = false
	x.change++
	if old.domain == now.domain {
		x.add(now.domain, now.pods-old.pods)
		old.pods = now.pods
		return
	}
	x.leave(old)
	now.changed = x.change
	if now.domain != 0 {
		x.domains[now.domain].nodes++
		x.add(now.domain, now.pods)
	}
	*old = now
}

func (x *Index) leave(r *rowState) {
	if r.domain != 0 {
		x.domains[r.domain].nodes--
		x.add(r.domain, -r.pods)
	}
}

func (x *Index) add(d uint32, pods int64) {
	if pods != 0 {
		x.domains[d].pods += pods
		x.domains[d].changed = x.change
	}
}

func (x *Index) domain(value string) uint32 {
	id, ok := x.ids[value]
	if !ok {
		id = uint32(len(x.domains))
		x.ids[value] = id
		x.domains = append(x.domains, domain{})
	}
	return id
}

// Position is after the last change. [Index.Changed] and [Index.Copy] take it.
func (x *Index) Position() uint64 { return x.change }

// Changed calls fn for the rows whose value changed since a position.
func (x *Index) Changed(since uint64, fn func(row int)) {
	if since == x.change {
		return
	}
	for row := range x.rows {
		if r := &x.rows[row]; r.changed > since || x.domains[r.domain].changed > since {
			fn(row)
		}
	}
}

// Value of a row: the pods in its node's domain, or None.
func (x *Index) Value(row int) int64 {
	if d := x.rows[row].domain; d != 0 {
		return x.domains[d].pods
	}
	return None
}

// Copy writes the values that changed since a position into a column.
func (x *Index) Copy(col []int64, since uint64) {
	x.Changed(since, func(row int) { col[row] = x.Value(row) })
}

// Summary of the domains.
func (x *Index) Summary() Summary {
	if x.fresh {
		return x.summary
	}
	s := Summary{Min: math.MaxInt64}
	for i := range x.domains {
		if d := &x.domains[i]; d.nodes > 0 {
			s.Domains++
			s.Min, s.Max = min(s.Min, d.pods), max(s.Max, d.pods)
		}
	}
	if s.Domains == 0 {
		s.Min = 0
	}
	x.summary, x.fresh = s, true
	return s
}
