// Package nodeselector matches nodes by their labels, and by metadata.name, as node
// selectors of the API do: many at once over columns ([Term.Match]), or one
// ([Term.Matches]). What is prepared belongs to the snapshot that it was prepared for.
package nodeselector

import (
	"github.com/pintle-io/pintle/sdk/scheduling"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// FieldName is the only field of nodes that terms can ask for.
const FieldName = "metadata.name"

// Label is the condition that a node has a label with one of these values.
func Label(s *scheduling.Snapshot, key string, values ...string) Condition {
	q := Condition{key: key, op: opIn, values: values}
	q.resolve(s)
	return q
}

// Key is the label that the condition is about.
func (q *Condition) Key() string { return q.key }

// Term is a conjunction.
type Term struct{ conditions []Condition }

// NewTerm prepares a term. It answers false for one that can match no node: an empty
// one, or one with a requirement that makes no sense.
func NewTerm(t *scheduling.NodeTerm, s *scheduling.Snapshot) (Term, bool) {
	var out Term
	for _, q := range t.Expressions {
		c := Condition{key: q.Key, op: q.Operator, values: q.Values}
		if !c.prepare() {
			return out, false
		}
		out.conditions = append(out.conditions, c)
	}
	for _, q := range t.Fields {
		if len(q.Values) != 1 || q.Operator != opIn && q.Operator != opNotIn {
			return out, false
		}
		out.conditions = append(out.conditions, Condition{field: true, key: q.Key, op: q.Operator, values: q.Values})
	}
	for i := range out.conditions {
		out.conditions[i].resolve(s)
	}
	return out, len(out.conditions) > 0
}

// Match sets out to the nodes of the cycle that meet all conditions.
func (t *Term) Match(c *scheduling.Cycle, out, scratch vector.Mask) {
	out.Fill(c.Len())
	for i := range t.conditions {
		t.conditions[i].Match(c, scratch)
		out.And(scratch)
	}
}

// Matches tells whether one node meets all conditions.
func (t *Term) Matches(n scheduling.Node) bool {
	for i := range t.conditions {
		if !t.conditions[i].Matches(n) {
			return false
		}
	}
	return true
}

// Matches tells whether one node meets the condition.
func (q *Condition) Matches(n scheduling.Node) bool {
	if q.field {
		return (q.key == FieldName && n.Name() == q.values[0]) != q.negated()
	}
	v, ok := n.Label(q.key)
	return (ok && q.holds(v)) != q.negated()
}

// Values are those of labels by which alone a node can meet the term: one of a
// condition that asks for one of some values. It is for indexes; ok is false when no
// condition of the term does.
func (t *Term) Values() (key string, values []string, ok bool) {
	for i := range t.conditions {
		if q := &t.conditions[i]; !q.field && q.op == opIn {
			return q.key, q.values, true
		}
	}
	return "", nil, false
}

// MatchesLabels tells whether a term matches a node of these labels, for those who
// have no snapshot. A node without a name has no fields.
func MatchesLabels(t *scheduling.NodeTerm, name string, labels map[string]string) bool {
	for _, q := range t.Expressions {
		c := Condition{key: q.Key, op: q.Operator, values: q.Values}
		if !c.prepare() {
			return false
		}
		v, ok := labels[q.Key]
		if (ok && c.holds(v)) == c.negated() {
			return false
		}
	}
	for _, q := range t.Fields {
		if len(q.Values) != 1 || q.Operator != opIn && q.Operator != opNotIn {
			return false
		}
		if (name != "" && q.Key == FieldName && name == q.Values[0]) != (q.Operator == opIn) {
			return false
		}
	}
	return len(t.Expressions)+len(t.Fields) > 0
}
