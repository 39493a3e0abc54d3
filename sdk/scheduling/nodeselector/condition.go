package nodeselector

import (
	"slices"
	"strconv"

	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// The operators of requirements.
const (
	opIn           = "In"
	opNotIn        = "NotIn"
	opExists       = "Exists"
	opDoesNotExist = "DoesNotExist"
	opGt           = "Gt"
	opLt           = "Lt"
)

// Condition is a requirement on a label, or on a field; make one with [Label].
type Condition struct {
	field   bool
	key, op string
	values  []string
	number  int64 // of Gt and Lt

	// What the snapshot's tables say of it, see resolve.
	keyID uint32
	ids   []uint32 // of the values that some node has
	table []uint8  // instead, when there are many
	sets  []uint8  // the answer for each set of rare labels
}

// prepare checks the requirement as upstream's selector parser does.
func (q *Condition) prepare() bool {
	switch q.op {
	case opIn, opNotIn:
		return len(q.values) > 0
	case opExists, opDoesNotExist:
		return len(q.values) == 0
	case opGt, opLt:
		if len(q.values) != 1 {
			return false
		}
		n, err := strconv.ParseInt(q.values[0], 10, 64)
		q.number = n
		return err == nil
	}
	return false
}

// negated tells whether the condition is the opposite of a positive one: a
// node without the label meets it.
func (q *Condition) negated() bool { return q.op == opNotIn || q.op == opDoesNotExist }

// Match sets out to the nodes of the cycle that meet the condition.
func (q *Condition) Match(c *scheduling.Cycle, out vector.Mask) {
	out.Zero()
	q.positive(c, out)
	if q.negated() {
		out.Not(c.Len())
	}
}

// positive is match without the negation.
func (q *Condition) positive(c *scheduling.Cycle, out vector.Mask) {
	if q.field {
		if q.key == FieldName {
			vector.In(out, c.Uint32(scheduling.NodeNames), q.ids)
		}
		return
	}
	values := c.LabelValues(q.keyID)
	switch {
	case q.keyID == 0:
	case values == nil:
		vector.Lookup(out, c.Uint32(scheduling.LabelSet), q.rare(c.Snapshot()))
	case q.op == opExists || q.op == opDoesNotExist:
		vector.In(out, values, absentValue)
		out.Not(c.Len())
	case q.op == opGt || q.op == opLt:
		q.compare(c, out, values)
	case q.table != nil:
		vector.Lookup(out, values, q.table)
	default:
		vector.In(out, values, q.ids)
	}
}

// absentValue is what the column of a label holds for nodes without it.
var absentValue = []uint32{0}

// manyValues is where a table becomes cheaper than comparing.
const manyValues = 8

// resolve looks the key and the values up in the snapshot's tables.
func (q *Condition) resolve(s *scheduling.Snapshot) {
	q.keyID = s.StringID(q.key)
	if q.op != opIn && q.op != opNotIn {
		return
	}
	var top uint32
	for _, v := range q.values {
		if id := s.StringID(v); id != 0 {
			q.ids = append(q.ids, id)
			top = max(top, id)
		}
	}
	if len(q.ids) > manyValues {
		q.table = make([]uint8, top+1)
		for _, id := range q.ids {
			q.table[id] = 1
		}
	}
}

// compare matches labels that are numbers above or below.
func (q *Condition) compare(c *scheduling.Cycle, out vector.Mask, values []uint32) {
	known := map[uint32]bool{}
	for i, v := range values {
		fits, ok := known[v]
		if !ok {
			fits = v != 0 && q.holds(c.Snapshot().String(v))
			known[v] = fits
		}
		if fits {
			out.Set(i)
		}
	}
}

// holds tells whether a label with this value meets the positive condition.
func (q *Condition) holds(value string) bool {
	switch q.op {
	case opIn, opNotIn:
		return slices.Contains(q.values, value)
	case opExists, opDoesNotExist:
		return true
	}
	n, err := strconv.ParseInt(value, 10, 64)
	return err == nil && (q.op == opGt && n > q.number || q.op == opLt && n < q.number)
}

// rare answers the positive condition for every set of rare labels.
func (q *Condition) rare(s *scheduling.Snapshot) []uint8 {
	if q.sets != nil {
		return q.sets
	}
	q.sets = make([]uint8, s.LabelSets())
	for i := range q.sets {
		if v, ok := s.RareLabel(i, q.keyID); ok && q.holds(v) {
			q.sets[i] = 1
		}
	}
	return q.sets
}
