package maintain

import (
	"time"

	"github.com/pintle-io/pintle/kernel/store/embed"
)

// What a database must be like before it is defragmented by itself: the member
// answers nobody meanwhile, for as long as a copy of what is in use takes.
const (
	minWaste = 64 << 20         // bytes of the file that hold nothing
	maxCopy  = 64 << 20         // bytes in use, a second or two; see RATIONALE.md
	calm     = 10 * time.Minute // for which the waste must last: what is used again soon is no waste
)

// need is what a database asks for.
type need int

const (
	nothing    need = iota
	tidy            // much of the file holds nothing
	nearQuota       // so, and the file is about to reach its quota
	outOfSpace      // no more writes
)

// needOf looks at sizes only.
func needOf(u embed.Usage) need {
	waste := u.File - u.Used
	switch {
	case u.Full:
		return outOfSpace
	case u.Used > maxCopy: // what is free is used again before the file grows
		return nothing
	case u.File >= u.Quota/4*3 && waste >= u.Quota/10:
		return nearQuota
	case waste >= minWaste && waste >= u.Used:
		return tidy
	}
	return nothing
}

// room tells that a database, once defragmented, takes writes again, and not
// just one: a twentieth of the quota is to be free.
func room(u embed.Usage) bool { return u.Used <= u.Quota/20*19 }
