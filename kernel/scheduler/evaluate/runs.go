package evaluate

import (
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire/schedule"
)

// runsOf joins sorted rows that follow each other.
func runsOf(rows []uint32) []schedule.Run {
	var runs []schedule.Run
	for _, r := range rows {
		if k := len(runs); k > 0 && runs[k-1].Start+runs[k-1].Count == int(r) && runs[k-1].Count < chunkRows {
			runs[k-1].Count++
			continue
		}
		runs = append(runs, schedule.Run{Start: int(r), Count: 1})
	}
	return runs
}

// takeRows cuts runs off that have limit rows together.
func takeRows(runs []schedule.Run, limit int) (part, rest []schedule.Run) {
	total := 0
	for i, r := range runs {
		if total += r.Count; total > limit && i > 0 {
			return runs[:i], runs[i:]
		}
	}
	return runs, nil
}

// eachRow calls fn with the position in the answer and the row.
func eachRow(runs []schedule.Run, fn func(pos, row int)) {
	pos := 0
	for _, r := range runs {
		for row := r.Start; row < r.Start+r.Count; row++ {
			fn(pos, row)
			pos++
		}
	}
}

func setBit(m vector.Mask, i int, on bool) {
	if on {
		m.Set(i)
	} else {
		m.Unset(i)
	}
}
