package evaluate

import "math"

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
