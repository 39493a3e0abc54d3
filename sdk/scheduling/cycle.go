package scheduling

import (
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// Cycle is one call of FilterAll or ScoreAll over a run of nodes. Position i
// in masks, columns and scores is the node [Cycle.Node](i). It is valid until
// the point returns.
type Cycle struct {
	snap  *Snapshot
	pod   *Pod
	start int
	n     int

	alive   vector.Mask
	reasons []uint32
	scores  []int64
	by      *server
	member  int // that is asked now

	masks []vector.Mask // kept between calls
	used  int           // of masks
}

// Pod to place.
func (c *Cycle) Pod() *Pod { return c.pod }

// Snapshot that the nodes belong to.
func (c *Cycle) Snapshot() *Snapshot { return c.snap }

// Len is the number of nodes of this call.
func (c *Cycle) Len() int { return c.n }

// Node returns the handle of the node at position i, 0 to Len()-1.
func (c *Cycle) Node(i int) Node { return Node{c.snap, uint32(c.start + i)} }

// Rows are the nodes that no filter has rejected so far. The caller must not
// change it; Reject does.
func (c *Cycle) Rows() vector.Mask { return c.alive }

// Mask returns an empty mask to compute with.
func (c *Cycle) Mask() vector.Mask {
	if c.used == len(c.masks) {
		c.masks = append(c.masks, nil)
	}
	m := c.masks[c.used]
	if cap(m) < len(c.alive) {
		m = make(vector.Mask, max(len(c.alive), vector.Words(1024)))
		c.masks[c.used] = m
	}
	c.used++
	m = m[:len(c.alive)]
	m.Zero()
	return m
}

// Reject says of the nodes in rows that the pod does not fit them. Nodes that
// were rejected before keep their reason. The mask is changed to what was
// rejected now.
func (c *Cycle) Reject(rows vector.Mask, why *Status) {
	rows.And(c.alive)
	if !rows.Any() || !why.Rejected() {
		return
	}
	c.alive.AndNot(rows)
	vector.Mark(c.reasons, rows, c.by.reason(c.member, why))
}

// Scores is where ScoreAll writes the score of each node in Rows; it is zero
// before.
func (c *Cycle) Scores() []int64 { return c.scores }

// Int64 returns a column of the nodes. The caller must not change it.
func (c *Cycle) Int64(id Column) []int64 {
	if col := c.snap.cols.int64(id); col != nil {
		return col[c.start : c.start+c.n]
	}
	c.snap.ask(id, "")
	return c.snap.asks.zeroInt64s(c.n)
}

// Uint32 is Int64 for the columns of names, flags and sets.
func (c *Cycle) Uint32(id Column) []uint32 {
	if col := c.snap.cols.uint32(id); col != nil {
		return col[c.start : c.start+c.n]
	}
	c.snap.ask(id, "")
	return c.snap.asks.zeroUint32s(c.n)
}

// Extended returns what the nodes have of an extended resource and what their
// pods request; false when no node has any.
func (c *Cycle) Extended(resource string) (alloc, used []int64, ok bool) {
	x, ok := c.snap.extended(resource)
	if !ok || len(x[0]) < c.start+c.n {
		return nil, nil, false
	}
	return x[0][c.start : c.start+c.n], x[1][c.start : c.start+c.n], true
}

// LabelValues returns the column of a label's values as string ids, 0 for
// nodes without it. key is the label's [Snapshot.StringID]. Nil when the label
// is rare: then it is in the sets that the LabelSet column names.
func (c *Cycle) LabelValues(key uint32) []uint32 {
	col := c.snap.labels[key]
	if key == 0 || len(col) < c.start+c.n {
		if key != 0 {
			c.snap.ask(columns.Label, c.snap.String(key))
		}
		return nil
	}
	return col[c.start : c.start+c.n]
}

// Scores are the scores of one plugin for all nodes that fit.
type Scores struct {
	snap   *Snapshot
	rows   []uint32
	values []int64
}

// Len is the number of nodes.
func (s *Scores) Len() int { return len(s.rows) }

// Node returns the i-th node.
func (s *Scores) Node(i int) Node { return Node{s.snap, s.rows[i]} }

// At returns the i-th node's score.
func (s *Scores) At(i int) int64 { return s.values[s.rows[i]] }

// Set changes the i-th node's score; after Normalize it must be 0 to 100.
func (s *Scores) Set(i int, score int64) { s.values[s.rows[i]] = score }

// Max is the highest score, 0 when there is no node.
func (s *Scores) Max() int64 {
	var m int64
	for i := range s.rows {
		m = max(m, s.At(i))
	}
	return m
}
