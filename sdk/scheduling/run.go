package scheduling

import (
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// results are the columns that a cycle's answers go to.
type results struct {
	feasible vector.Mask
	reasons  []uint32
	scores   [][]int64 // by column key
}

// results finds the result columns. They stay where they are as long as the
// region does.
func (s *server) results(region []byte) (results, error) {
	if s.res.feasible != nil && s.resOf == &region[0] {
		return s.res, nil
	}
	l := &s.snap.layout
	r := results{feasible: l.Mask(region, columns.ResultFeasible, 0), reasons: l.Uint32s(region, columns.ResultReason, 0)}
	for key := uint32(0); ; key++ {
		col := l.Int64s(region, columns.ResultScore, key)
		if col == nil {
			break
		}
		r.scores = append(r.scores, col)
	}
	for _, m := range s.members {
		if int(m.column) >= len(r.scores) {
			return r, wire.Errorf(wire.KindProtocol, "region has no column for the scores of %s", m.name)
		}
	}
	if r.feasible == nil || r.reasons == nil {
		return r, wire.Errorf(wire.KindProtocol, "region has no result columns")
	}
	s.res, s.resOf = r, &region[0]
	return r, nil
}

func (s *server) cycle(req, region []byte) ([]byte, error) {
	q := &s.question
	if err := q.Read(req); err != nil {
		return nil, err
	}
	if s.pod == nil {
		return nil, wire.Errorf(wire.KindProtocol, "cycle without a pod")
	}
	if err := s.snap.bind(region); err != nil {
		return nil, err
	}
	res, err := s.results(region)
	if err != nil {
		return nil, err
	}
	if len(q.Counts) != len(s.snap.counts.asked) {
		return nil, wire.Errorf(wire.KindProtocol, "%d counts, %d were asked for", len(q.Counts), len(s.snap.counts.asked))
	}
	s.snap.bindCounts(q.Counts, region)
	s.snap.reads = 0
	a := schedule.CycleAnswer{}
	pos := 0
	for _, run := range q.Runs {
		if run.Count < 0 || run.Start < 0 || run.Count > s.snap.rows || run.Start > s.snap.rows-run.Count || pos+run.Count > len(res.reasons) {
			return nil, wire.Errorf(wire.KindProtocol, "rows %d+%d of %d", run.Start, run.Count, s.snap.rows)
		}
		n, err := s.run(q, run, res, pos)
		if err != nil {
			return nil, err
		}
		a.Feasible += n
		pos += run.Count
	}
	a.Reads = s.snap.reads
	a.Reasons = s.reasons[s.sent:]
	s.sent = len(s.reasons)
	s.out = a.Append(s.out[:0])
	return s.out, nil
}

// run asks the members about one run and writes the answers from position pos.
func (s *server) run(q *schedule.CycleRequest, run schedule.Run, res results, pos int) (feasible int, err error) {
	n := run.Count
	words := vector.Words(n)
	if cap(s.alive) < words {
		s.alive = make(vector.Mask, words)
	}
	alive := s.alive[:words]
	if q.Masked {
		alive.Zero()
		for i := range n {
			if res.feasible.Has(pos + i) {
				alive.Set(i)
			}
		}
	} else {
		alive.Fill(n)
	}
	c := &s.now
	*c = Cycle{snap: &s.snap, pod: s.pod, start: run.Start, n: n, alive: alive,
		reasons: res.reasons[pos : pos+n], by: s, masks: c.masks}
	clear(c.reasons)
	s.filter(c, q.Scope)
	if err := s.score(c, q.Scope, res, pos); err != nil {
		return 0, err
	}
	whole := 0 // rows that are copied by words: the bits behind are those of the next runs
	if pos&63 == 0 {
		whole = n &^ 63
		copy(res.feasible[pos>>6:], alive[:whole>>6])
	}
	for i := whole; i < n; i++ {
		if alive.Has(i) {
			res.feasible.Set(pos + i)
		} else {
			res.feasible.Unset(pos + i)
		}
	}
	return alive.Count(), nil
}

func (s *server) filter(c *Cycle, scope Scope) {
	for i := range s.members {
		m := &s.members[i]
		p := m.points
		if !m.filter || m.skipFilter || p.Scope != scope || !c.alive.Any() {
			continue
		}
		c.used, c.member = 0, i
		switch {
		case p.FilterAll != nil:
			p.FilterAll(c)
		case p.Filter != nil:
			c.alive.Each(func(k int) {
				if st := p.Filter(c.pod, c.Node(k)); st.Rejected() {
					c.alive.Unset(k)
					c.reasons[k] = s.reason(i, st)
				}
			})
		}
	}
}

func (s *server) score(c *Cycle, scope Scope, res results, pos int) error {
	if cap(s.scores) < c.n {
		s.scores = make([]int64, c.n)
	}
	for _, col := range res.scores {
		clear(col[pos : pos+c.n])
	}
	total := res.scores[0][pos : pos+c.n]
	for i := range s.members {
		m := &s.members[i]
		p := m.points
		if m.weight == 0 || m.skipScore || p.Scope != scope || !c.alive.Any() {
			continue
		}
		c.used = 0
		high := int64(MaxNodeScore)
		if m.column > 0 {
			c.scores, high = res.scores[m.column][pos:pos+c.n], schedule.MaxRawScore
		} else {
			c.scores = s.scores[:c.n]
			clear(c.scores)
		}
		if p.ScoreAll != nil {
			p.ScoreAll(c)
		} else {
			c.alive.Each(func(k int) { c.scores[k] = p.Score(c.pod, c.Node(k)) })
		}
		if err := s.checkScores(c, high, m); err != nil {
			return err
		}
		if m.column == 0 {
			vector.AddScaled(total, c.alive, c.scores, m.weight)
		}
	}
	return nil
}

// checkScores finds the first score that is out of its bounds: that is no answer
// that the server could use, so it is a fault and not an error of the plugin.
func (s *server) checkScores(c *Cycle, high int64, m *member) error {
	bad := c.Mask()
	vector.Outside(bad, c.scores, 0, high)
	bad.And(c.alive)
	if !bad.Any() {
		return nil
	}
	var err error
	bad.Each(func(i int) {
		if err == nil {
			err = s.outOfBounds(m, c.scores[i], c.Node(i), high)
		}
	})
	return err
}

// outOfBounds names the member when there are several: the server names the
// plugin.
func (s *server) outOfBounds(m *member, score int64, n Node, high int64) error {
	whose := "score"
	if len(s.members) > 1 {
		whose = m.name + ": score"
	}
	return wire.Errorf(wire.KindProtocol, "%s %d of node %s is not in the range of 0 to %d", whose, score, n.Name(), high)
}

func (s *server) normalize(req, region []byte) error {
	i, rows, err := schedule.ReadNormalize(req)
	if err != nil {
		return err
	}
	if s.pod == nil || i < 0 || i >= len(s.members) || s.members[i].points.Normalize == nil || rows < 0 || rows > s.snap.rows {
		return wire.Errorf(wire.KindProtocol, "normalize member %d, %d rows", i, rows)
	}
	if err := s.snap.bind(region); err != nil {
		return err
	}
	res, err := s.results(region)
	if err != nil {
		return err
	}
	m := &s.members[i]
	scores := Scores{snap: &s.snap, values: res.scores[m.column]}
	for row := range rows {
		if res.feasible.Has(row) {
			scores.rows = append(scores.rows, uint32(row))
		}
	}
	m.points.Normalize(s.pod, &scores)
	for k := range scores.rows {
		if v := scores.At(k); v < 0 || v > MaxNodeScore {
			return s.outOfBounds(m, v, scores.Node(k), MaxNodeScore)
		}
	}
	return nil
}
