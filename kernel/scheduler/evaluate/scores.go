package evaluate

import (
	"encoding/json"
	"slices"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// maxScored is how many nodes Scores tell of.
const maxScored = 5

// fewScorers is how many may score without Scores taking memory of their own.
// The shipped plugin and another five are as many.
const fewScorers = 8

// Scores say how the chosen node, and the best of the others, came by their
// scores. They are made for every pod and seldom looked at: so they hold what
// plugins said before scaling, and what that means is worked out for whoever
// asks. They refer to nothing that a later decision changes. The zero Scores tell
// of no node.
type Scores struct {
	by    *scoring
	nodes [maxScored]string
	n     int
	few   [fewScorers]given
	many  []given // in place of few
}

// given is what one scorer gave: shares, or scores before scaling.
type given struct {
	max    int64 // of the scores of all nodes
	values [maxScored]int64
}

// Copy of Scores that the evaluator still writes to; of nil, the zero Scores.
func (s *Scores) Copy() Scores {
	if s == nil {
		return Scores{}
	}
	c := *s
	c.many = slices.Clone(s.many)
	return c
}

// Scorers are those who score, in the order of every node's Shares. The caller
// must not change them.
func (s Scores) Scorers() []Scorer {
	if s.by == nil {
		return nil
	}
	return s.by.scorers
}

// Nodes begin with the one that was chosen; the others follow by score.
func (s Scores) Nodes() []NodeScore {
	list := make([]NodeScore, s.n)
	for i := range list {
		x := NodeScore{Node: s.nodes[i], Shares: make([]int64, len(s.by.origins))}
		for k, g := range s.given() {
			x.Shares[k] = s.by.origins[k].share(g.values[i], g.max)
			x.Score += x.Shares[k]
		}
		list[i] = x
	}
	return list
}

// given has room for what each scorer gave.
func (s *Scores) given() []given {
	k := len(s.by.origins)
	if k <= fewScorers {
		return s.few[:k]
	}
	s.many = fit(s.many, k)
	return s.many
}

// IsZero tells that no node was chosen, or that nobody scores.
func (s Scores) IsZero() bool { return s.n == 0 }

// MarshalJSON writes {"scorers": […], "nodes": […]}.
func (s Scores) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scorers []Scorer    `json:"scorers"`
		Nodes   []NodeScore `json:"nodes"`
	}{s.Scorers(), s.Nodes()})
}

// Scorer is a member of a plugin that scores, or several that the plugin adds
// up by itself.
type Scorer struct {
	Plugin  string   `json:"plugin"`
	Members []string `json:"members"`
	// Weight is what a score is multiplied by; 0 when there are several members,
	// each with its own.
	Weight int64 `json:"weight,omitempty"`
}

// NodeScore is the score of one node: the sum of its Shares.
type NodeScore struct {
	Node   string  `json:"node"`
	Score  int64   `json:"score"`
	Shares []int64 `json:"shares"` // score × weight, by scorer
}

// scoring is who scores among a set of instances. It does not change: the
// verdicts of all signatures share it, and Scores that outlive them.
type scoring struct {
	scorers []Scorer
	origins []origin // by scorer
}

// origin says where the shares of a scorer are found.
type origin struct {
	instance int
	member   int // -1: the sum of those that are not scaled
	cluster  bool
	local    int // index into verdicts.local, or -1
	raw      int // index into verdicts.raw, or -1; neither: in ranking's credits

	// Of raw ones.
	weight  int64
	scaling schedule.Scaling
}

// share is what a score adds to the total of a node.
func (o *origin) share(value, highest int64) int64 {
	if o.raw < 0 {
		return value
	}
	return o.weight * o.scaling.Apply(value, highest)
}

// newScoring lists who scores among the instances, for verdicts about them.
func newScoring(instances []*Instance, v *verdicts) *scoring {
	s := &scoring{}
	for k, in := range instances {
		for _, cluster := range []bool{false, true} {
			s.addSum(v, k, in, cluster)
		}
		for i, m := range in.members {
			if m.Column == 0 || in.uses[i].Weight == 0 {
				continue
			}
			o := origin{instance: k, member: i, cluster: m.Scope == schedule.Cluster, local: -1, weight: in.uses[i].Weight, scaling: m.Scaling}
			o.raw = slices.IndexFunc(v.raw, func(r rawScores) bool { return r.instance == k && r.member == i && !r.custom })
			s.origins = append(s.origins, o)
			s.scorers = append(s.scorers, Scorer{Plugin: in.name, Members: []string{m.Name}, Weight: in.uses[i].Weight})
		}
	}
	return s
}

// addSum lists the members of one scope whose scores an instance adds up.
func (s *scoring) addSum(v *verdicts, k int, in *Instance, cluster bool) {
	x := Scorer{Plugin: in.name}
	for i, m := range in.members {
		if m.Column == 0 && in.uses[i].Weight != 0 && (m.Scope == schedule.Cluster) == cluster {
			x.Members, x.Weight = append(x.Members, m.Name), in.uses[i].Weight
		}
	}
	if len(x.Members) == 0 {
		return
	}
	if len(x.Members) > 1 {
		x.Weight = 0
	}
	o := origin{instance: k, member: -1, cluster: cluster, local: -1, raw: -1}
	if !cluster {
		o.local = v.localOf(k)
	}
	s.origins, s.scorers = append(s.origins, o), append(s.scorers, x)
}

// credits take down what a scorer adds to the totals, by row; nil takes down
// nothing.
type credits []int64

// creditsOf are those of a member, or of the sum of an instance's members of
// cluster scope, whose shares are worked out anew for each pod.
func (a *attempt) creditsOf(instance, member int) credits {
	if a.scores == nil {
		return nil
	}
	for i, o := range a.verdicts.by.origins {
		if o.instance == instance && o.member == member && (member >= 0 || o.cluster) {
			a.totals.credits[i] = fit(a.totals.credits[i], a.table.Rows())
			return a.totals.credits[i]
		}
	}
	return nil
}

// credit adds a share to the total of a row.
func (r *ranking) credit(c credits, row int, share int64) {
	r.scores[row] += share
	if c != nil {
		c[row] = share
	}
}

// tell takes down who gave what to the row that was chosen and to the best
// others. It returns nil when nobody is to know, or nobody scores.
func (a *attempt) tell(r *ranking, chosen int, lead *leaders) *Scores {
	s, by := a.scores, a.verdicts.by
	if s == nil || len(by.origins) == 0 {
		return nil
	}
	var rows [maxScored]int
	s.by, s.n = by, r.top(&rows, chosen, lead)
	for i, row := range rows[:s.n] {
		s.nodes[i] = a.table.Node(row).Name
	}
	list := s.given()
	for k := range list {
		a.take(&list[k], k, rows[:s.n])
	}
	return s
}

// take copies what a scorer gave to rows.
func (a *attempt) take(g *given, scorer int, rows []int) {
	v := a.verdicts
	var values []int64
	switch o := &v.by.origins[scorer]; {
	case o.local >= 0:
		values = v.local[o.local].values
	case o.raw >= 0:
		values, g.max = v.raw[o.raw].values, v.raw[o.raw].max
	default:
		values = a.totals.credits[scorer]
	}
	for i, row := range rows {
		g.values[i] = values[row]
	}
}
