package nodettl

import (
	"math"
	"strconv"
)

// step is how long objects may be kept in a cluster of so many nodes.
type step struct {
	min, max int // nodes; steps overlap, so that a few nodes more or less change nothing
	seconds  string
}

// steps are upstream's.
var steps = []step{
	{0, 100, "0"},
	{90, 500, "15"},
	{450, 1000, "30"},
	{900, 2000, "60"},
	{1800, math.MaxInt, "300"},
}

// desired is the value for a cluster whose nodes have these now, "" being none: where
// two steps fit the cluster's size, the one that more nodes have, and the first if none
// has any.
func desired(have map[string]int, nodes int) string {
	best, most := "", -1
	for _, s := range steps {
		if nodes < s.min || nodes > s.max {
			continue
		}
		if n := have[s.seconds]; n > most {
			best, most = s.seconds, n
		}
	}
	return best
}

// known tells that a value is one of a step; upstream compares numbers.
func known(value string) bool {
	n, err := strconv.Atoi(value)
	if err != nil {
		return false
	}
	for _, s := range steps {
		if s.seconds == strconv.Itoa(n) {
			return true
		}
	}
	return false
}
