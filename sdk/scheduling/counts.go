package scheduling

import (
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// PodCounts asks for numbers of pods by topology domain.
type PodCounts = schedule.PodCounts

// Counts are numbers of pods by topology domain, kept by the kernel. Ask for
// them in PreFilter or PreScore with [Snapshot.CountPods], and read them in
// Filter and Score of the same pod, not before.
type Counts struct {
	s *Snapshot
	i int
}

// countsOf are the counts that the pod's plugins asked for.
type countsOf struct {
	asked []PodCounts
	at    []schedule.CountsAt
	cols  [][]int64
}

// CountPods asks for counts. They are kept up to date while pods come and go,
// at little cost, shared by all plugins and pods that ask alike; the first time
// the kernel looks at all pods. Verdicts that depend on them are remembered for
// as long as the counts stay.
func (s *Snapshot) CountPods(q PodCounts) Counts {
	s.counts.asked = append(s.counts.asked, q)
	return Counts{s, len(s.counts.asked) - 1}
}

// Of returns the pods in a node's domain; false when the node is in none.
func (c Counts) Of(n Node) (pods int64, ok bool) {
	if col := c.column(); int(n.row) < len(col) {
		return max(col[n.row], 0), col[n.row] >= 0
	}
	return 0, false
}

// Values are the counts of the nodes of a call, -1 for nodes in no domain. The
// caller must not change them.
func (c Counts) Values(y *Cycle) []int64 {
	if col := c.column(); len(col) >= y.start+y.n {
		return col[y.start : y.start+y.n]
	}
	return y.snap.asks.zeroInt64s(y.n)
}

// Min is the fewest pods in one of the domains, 0 without domains. A verdict
// that depends on it is computed anew for all nodes when it changes.
func (c Counts) Min() int64 { return c.summary().Min }

// Max is the most pods in one of the domains.
func (c Counts) Max() int64 { return c.summary().Max }

// Domains is the number of domains that have a node.
func (c Counts) Domains() int { return int(c.summary().Domains) }

func (c Counts) summary() schedule.CountsAt {
	c.s.reads |= schedule.ReadDomains
	if c.i < len(c.s.counts.at) {
		return c.s.counts.at[c.i]
	}
	return schedule.CountsAt{}
}

func (c Counts) column() []int64 {
	if c.i < len(c.s.counts.cols) {
		return c.s.counts.cols[c.i]
	}
	return nil
}

// bindCounts finds the columns of the counts that the pod asked for.
func (s *Snapshot) bindCounts(at []schedule.CountsAt, region []byte) {
	s.counts.at = append(s.counts.at[:0], at...)
	s.counts.cols = s.counts.cols[:0]
	for _, c := range at {
		s.counts.cols = append(s.counts.cols, s.layout.Int64s(region, columns.DomainPods, c.Slot))
	}
}

// forgetCounts forgets what the last pod asked for.
func (s *Snapshot) forgetCounts() {
	s.counts.asked, s.counts.at, s.counts.cols = nil, s.counts.at[:0], s.counts.cols[:0]
}
