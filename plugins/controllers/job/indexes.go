package job

import (
	"slices"
	"strconv"
	"strings"
)

// indexes is a set of completion indexes, as intervals in order that do not
// touch.
type indexes []interval

type interval struct{ first, last int }

// parseIndexes reads the text form of status.completedIndexes ("0,3-5,7") as
// far as it is below completions. What is no interval is left out.
func parseIndexes(text string, completions int) indexes {
	var out indexes
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil || first < 0 {
			continue
		}
		last := first
		if isRange {
			if last, err = strconv.Atoi(to); err != nil || last < first {
				continue
			}
		}
		if first < completions {
			out = append(out, interval{first, min(last, completions-1)})
		}
	}
	return out.normal()
}

// normal puts intervals in order and joins those that touch.
func (x indexes) normal() indexes {
	slices.SortFunc(x, func(a, b interval) int { return a.first - b.first })
	var out indexes
	for _, v := range x {
		if n := len(out); n > 0 && v.first <= out[n-1].last+1 {
			out[n-1].last = max(out[n-1].last, v.last)
			continue
		}
		out = append(out, v)
	}
	return out
}

// with is the union with more indexes, in any order.
func (x indexes) with(more ...int) indexes {
	all := slices.Clone(x)
	for _, i := range more {
		all = append(all, interval{i, i})
	}
	return all.normal()
}

// union is the union of two sets.
func (x indexes) union(y indexes) indexes { return append(slices.Clone(x), y...).normal() }

// minus is the set without what y has.
func (x indexes) minus(y indexes) indexes {
	var out indexes
	j := 0
	for _, v := range x {
		for j < len(y) && y[j].first <= v.last && v.first <= v.last {
			if y[j].last >= v.first {
				if y[j].first > v.first {
					out = append(out, interval{v.first, y[j].first - 1})
				}
				v.first = y[j].last + 1
			}
			if y[j].last <= v.last { // otherwise it may reach into the next
				j++
			}
		}
		if v.first <= v.last {
			out = append(out, v)
		}
	}
	return out
}

// total is how many indexes there are.
func (x indexes) total() int {
	n := 0
	for _, v := range x {
		n += v.last - v.first + 1
	}
	return n
}

func (x indexes) has(i int) bool {
	at, _ := slices.BinarySearchFunc(x, i, func(v interval, i int) int { return v.last - i })
	return at < len(x) && x[at].first <= i
}

// String is the text form: of three or more in a row the ends, "0,1,3-5".
func (x indexes) String() string {
	var b strings.Builder
	for _, v := range x {
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.Itoa(v.first))
		switch v.last - v.first {
		case 0:
			continue
		case 1:
			b.WriteByte(',')
		default:
			b.WriteByte('-')
		}
		b.WriteString(strconv.Itoa(v.last))
	}
	return b.String()
}

// without lists up to count indexes below completions that are not in the set.
func (x indexes) without(count, completions int) []int {
	var out []int
	next := 0
	take := func(until int) {
		for ; next < until && len(out) < count; next++ {
			out = append(out, next)
		}
	}
	for _, v := range x {
		take(min(v.first, completions))
		next = max(next, v.last+1)
	}
	take(completions)
	return out
}

// shared is how many indexes two sets have in common.
func (x indexes) shared(y indexes) int {
	n := 0
	for i, j := 0, 0; i < len(x) && j < len(y); {
		n += max(min(x[i].last, y[j].last)-max(x[i].first, y[j].first)+1, 0)
		if x[i].last < y[j].last {
			i++
		} else {
			j++
		}
	}
	return n
}
