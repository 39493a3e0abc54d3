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

	// credits are what scorers added, by scorer and row, when totals are made
	// anew for each pod.
	credits []credits
}

// resize makes room for n rows; new ones are absent.
func (r *ranking) resize(n int) {
	old := len(r.scores)
	if n == old {
		return
	}
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
	case old == r.best[b] && r.ties[b] > 1:
		r.ties[b]--
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

// leaders are the blocks with the highest maxima, the best first. The best of n
// blocks are as good as the best n rows of all, so no other block need be looked
// into to find these.
type leaders struct {
	blocks [maxScored]int
	n      int
}

// add puts a block in its place, and tells what a further one's maximum must
// exceed.
func (l *leaders) add(block int, maxima []int64) (floor int64) {
	l.n = insert(&l.blocks, 0, l.n, block, maxima)
	if l.n < maxScored {
		return absent
	}
	return maxima[l.blocks[l.n-1]]
}

// pick returns one of the rows with the highest score: number n modulo their
// count, in the order of rows. It returns -1 when no row is in the race.
func (r *ranking) pick(n uint64, lead *leaders) (row int, score int64) {
	best, ties, first := int64(absent), uint64(0), 0
	floor := int64(absent)
	lead.n = 0
	for b, s := range r.best {
		if s > floor {
			floor = lead.add(b, r.best)
			if s > best {
				best, ties, first = s, 0, b
			}
		}
		if s == best {
			ties += uint64(r.ties[b]) // none where all are absent
		}
	}
	if best == absent {
		return -1, 0
	}
	return r.find(first, best, n%ties), best
}

// find returns row number n of those from a block on that have the score, which
// is the maximum of their blocks.
func (r *ranking) find(block int, score int64, n uint64) (row int) {
	for b := block; b < len(r.best); b++ {
		if r.best[b] != score {
			continue
		}
		if n >= uint64(r.ties[b]) {
			n -= uint64(r.ties[b])
			continue
		}
		for i := b * blockRows; ; i++ {
			if r.scores[i] == score {
				if n == 0 {
					return i
				}
				n--
			}
		}
	}
	return -1
}

// top writes the rows with the highest scores into rows, the best first, and
// tells how many there are. But first, in any case, comes the row that pick
// returned.
func (r *ranking) top(rows *[maxScored]int, first int, lead *leaders) int {
	rows[0] = first
	n := 1
	floor := r.floor(lead)
	for _, b := range lead.blocks[:lead.n] {
		if r.best[b] <= floor {
			break
		}
		start := b * blockRows
		for i, score := range r.scores[start:min(start+blockRows, len(r.scores))] {
			if score <= floor || start+i == first {
				continue
			}
			if n = insert(rows, 1, n, start+i, r.scores); n < maxScored {
				continue
			}
			if floor = r.scores[rows[n-1]]; floor == r.best[b] {
				break
			}
		}
	}
	return n
}

// floor is what a row among the best must exceed at least: as many have the
// maxima of their blocks as are looked for.
func (r *ranking) floor(lead *leaders) int64 {
	n := int32(0)
	for _, b := range lead.blocks[:lead.n] {
		if n += r.ties[b]; n >= maxScored {
			return r.best[b] - 1
		}
	}
	return absent
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
