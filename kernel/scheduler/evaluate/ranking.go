package evaluate

import (
	"encoding/json"
	"math"

	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// absent is the score of a row that is not in the race.
const absent = math.MinInt64

// blockRows is how many rows share one maximum.
const blockRows = 64

// ranking keeps the score of each row and finds the best one: a change costs
// one block, a choice one look at every block's maximum.
type ranking struct {
	scores []int64
	best   []int64 // by block
	ties   []int32 // rows of the block that have it

	// credits are what scorers added, by scorer and row, when totals are made
	// anew for each pod.
	credits []credits
}

// resize makes room for n rows; new ones are absent.
func (r *ranking) resize(n int) {
	old := len(r.scores)
	r.scores = fit(r.scores, n)
	for i := old; i < n; i++ {
		r.scores[i] = absent
	}
	blocks := (n + blockRows - 1) / blockRows
	known := len(r.best)
	r.best, r.ties = fit(r.best, blocks), fit(r.ties, blocks)
	for i := known; i < blocks; i++ {
		r.best[i] = absent
	}
	if blocks > 0 {
		r.refresh(blocks - 1)
	}
}

// clear empties the ranking and keeps its memory.
func (r *ranking) clear() { r.scores, r.best, r.ties = r.scores[:0], r.best[:0], r.ties[:0] }

// set changes a row's score.
func (r *ranking) set(row int, score int64) {
	old := r.scores[row]
	if old == score {
		return
	}
	r.scores[row] = score
	b := row / blockRows
	switch {
	case score > r.best[b]:
		r.best[b], r.ties[b] = score, 1
	case old == r.best[b]:
		r.refresh(b)
	case score == r.best[b]:
		r.ties[b]++
	}
}

// rebuild brings all blocks up to date after scores was written directly.
func (r *ranking) rebuild() {
	for b := range r.best {
		r.refresh(b)
	}
}

func (r *ranking) refresh(b int) {
	best, ties := int64(absent), int32(0)
	for _, s := range r.scores[b*blockRows : min((b+1)*blockRows, len(r.scores))] {
		switch {
		case s > best:
			best, ties = s, 1
		case s == best && s != absent:
			ties++
		}
	}
	r.best[b], r.ties[b] = best, ties
}

// pick returns one of the rows with the highest score: number n modulo their
// count, in the order of rows. It returns -1 when no row is in the race.
func (r *ranking) pick(n uint64) (row int, score int64) {
	best, ties := int64(absent), uint64(0)
	for b, s := range r.best {
		switch {
		case s > best:
			best, ties = s, uint64(r.ties[b])
		case s == best && s != absent:
			ties += uint64(r.ties[b])
		}
	}
	if best == absent {
		return -1, 0
	}
	n %= ties
	for b, s := range r.best {
		if s != best {
			continue
		}
		if n >= uint64(r.ties[b]) {
			n -= uint64(r.ties[b])
			continue
		}
		for i := b * blockRows; ; i++ {
			if r.scores[i] == best {
				if n == 0 {
					return i, best
				}
				n--
			}
		}
	}
	return -1, 0
}

// top writes the rows with the highest scores into rows, the best first, and
// tells how many there are. But first, in any case, comes the row that is given.
func (r *ranking) top(rows *[maxScored]int, first int) int {
	// The best of n blocks are as good as the best n rows of all, so no other
	// block need be looked into.
	var blocks [maxScored]int
	var floor int64 = absent
	k := 0
	for b, best := range r.best {
		if best > floor {
			k = insert(&blocks, 0, k, b, r.best)
			if k == maxScored {
				floor = r.best[blocks[k-1]]
			}
		}
	}
	rows[0] = first
	n := 1
	floor = absent
	for _, b := range blocks[:k] {
		if r.best[b] <= floor {
			break
		}
		start := b * blockRows
		for i, score := range r.scores[start:min(start+blockRows, len(r.scores))] {
			if score > floor && start+i != first {
				n = insert(rows, 1, n, start+i, r.scores)
				if n == maxScored {
					floor = r.scores[rows[n-1]]
				}
			}
		}
	}
	return n
}

// insert puts x in its place among list[from:n], which is sorted by the values, the
// highest first, and returns the new n. What is beyond the list's end falls off.
func insert(list *[maxScored]int, from, n, x int, values []int64) int {
	at := n
	for at > from && values[list[at-1]] < values[x] {
		at--
	}
	if at == maxScored {
		return n
	}
	n = min(n+1, maxScored)
	copy(list[at+1:n], list[at:n-1])
	list[at] = x
	return n
}

// Scores say how the chosen node, and the best of the others, came by their
// scores. They are made for every pod and seldom looked at, so they are kept
// small; the zero Scores tell of no node.
type Scores struct {
	scorers []Scorer // fixed
	nodes   [maxScored]string
	n       int
	shares  []int64 // by node and scorer
}

// Scorers are those who score, in the order of every node's Shares. The caller
// must not change them.
func (s Scores) Scorers() []Scorer { return s.scorers }

// Nodes begin with the one that was chosen; the others follow by score.
func (s Scores) Nodes() []NodeScore {
	list := make([]NodeScore, s.n)
	k := len(s.scorers)
	for i := range list {
		list[i] = NodeScore{Node: s.nodes[i], Shares: s.shares[i*k : (i+1)*k]}
		for _, share := range list[i].Shares {
			list[i].Score += share
		}
	}
	return list
}

// IsZero tells that no node was chosen, or that nobody scores.
func (s Scores) IsZero() bool { return s.n == 0 }

// MarshalJSON writes {"scorers": […], "nodes": […]}.
func (s Scores) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Scorers []Scorer    `json:"scorers"`
		Nodes   []NodeScore `json:"nodes"`
	}{s.scorers, s.Nodes()})
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

// maxScored is how many nodes Scores tell of.
const maxScored = 5

// origin says where the shares of a scorer are found.
type origin struct {
	instance int
	member   int // -1: the sum of those that are not scaled
	cluster  bool
	local    int // index into verdicts.local, or -1
	raw      int // index into verdicts.raw, or -1; neither: in ranking's credits
}

// listScorers lists who scores among the instances, once for each signature.
func (v *verdicts) listScorers(instances []*Instance) {
	for k, in := range instances {
		for _, cluster := range []bool{false, true} {
			v.listSum(k, in, cluster)
		}
		for i, m := range in.members {
			if m.Column == 0 || in.uses[i].Weight == 0 {
				continue
			}
			o := origin{instance: k, member: i, cluster: m.Scope == schedule.Cluster, local: -1, raw: -1}
			for r := range v.raw {
				if v.raw[r].instance == k && v.raw[r].member == i && !v.raw[r].custom {
					o.raw = r
				}
			}
			v.origins = append(v.origins, o)
			v.scorers = append(v.scorers, Scorer{Plugin: in.name, Members: []string{m.Name}, Weight: in.uses[i].Weight})
		}
	}
}

// listSum lists the members of one scope whose scores an instance adds up.
func (v *verdicts) listSum(k int, in *Instance, cluster bool) {
	s := Scorer{Plugin: in.name}
	for i, m := range in.members {
		if m.Column == 0 && in.uses[i].Weight != 0 && (m.Scope == schedule.Cluster) == cluster {
			s.Members, s.Weight = append(s.Members, m.Name), in.uses[i].Weight
		}
	}
	if len(s.Members) == 0 {
		return
	}
	if len(s.Members) > 1 {
		s.Weight = 0
	}
	o := origin{instance: k, member: -1, cluster: cluster, local: -1, raw: -1}
	if !cluster {
		o.local = v.localOf(k)
	}
	v.origins, v.scorers = append(v.origins, o), append(v.scorers, s)
}

// credits take down what a scorer adds to the totals, by row; nil takes down
// nothing.
type credits []int64

// creditsOf are those of a member, or of the sum of an instance's members of
// cluster scope, whose shares are worked out anew for each pod.
func (a *attempt) creditsOf(instance, member int) credits {
	for i, o := range a.verdicts.origins {
		if o.instance == instance && o.member == member && (member >= 0 || o.cluster) {
			a.totals.credits[i] = fit(a.totals.credits[i], a.table.Rows())
			return a.totals.credits[i]
		}
	}
	return nil
}

// credit adds a share to the total of a row.
func (a *attempt) credit(c credits, row int, share int64) {
	a.totals.scores[row] += share
	if c != nil {
		c[row] = share
	}
}

// share is what a scorer adds to the score of a row that fits.
func (a *attempt) share(scorer, row int) int64 {
	v := a.verdicts
	switch o := &v.origins[scorer]; {
	case o.local >= 0:
		return v.local[o.local].values[row]
	case o.raw >= 0:
		return v.raw[o.raw].share(row)
	}
	return a.totals.credits[scorer][row]
}

// scores tells of the row that was chosen and of the best others.
func (a *attempt) scores(r *ranking, chosen int) Scores {
	out := Scores{scorers: a.verdicts.scorers}
	k := len(out.scorers)
	if k == 0 {
		return out
	}
	var rows [maxScored]int
	out.n = r.top(&rows, chosen)
	out.shares = make([]int64, k*out.n)
	for i, row := range rows[:out.n] {
		out.nodes[i] = a.table.Node(row).Name
		for scorer := range k {
			out.shares[i*k+scorer] = a.share(scorer, row)
		}
	}
	return out
}
