package process

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
)

// Confined plugins have users of their own, one for each instance, so that none
// can touch another's process or files. The numbers are above those that systemd
// and container engines give out; where this process's user namespace has no such
// numbers, they are those of systemd's dynamic users.
var userRanges = []userRange{{1_900_000_000, 4096}, {61184, 1024}}

type userRange struct{ first, n uint32 }

// users gives out user numbers. It is safe for concurrent use.
type users struct {
	own  bool // this process has no right to another user: all have its own
	from userRange

	mu   sync.Mutex
	used map[uint32]bool // guarded by mu
	next uint32          // guarded by mu
}

var errNoUser = errors.New("too many plugin processes")

func newUsers() *users {
	u := &users{used: map[uint32]bool{}}
	if os.Geteuid() != 0 {
		u.own = true
		return u
	}
	b, err := os.ReadFile("/proc/self/uid_map")
	if err != nil {
		b = nil
	}
	for _, r := range userRanges {
		if mapped(string(b), r) {
			u.from = r
			return u
		}
	}
	u.own = true
	return u
}

// mapped tells whether a uid_map holds all numbers of a range.
func mapped(table string, r userRange) bool {
	for line := range strings.SplitSeq(table, "\n") {
		f := strings.Fields(line)
		if len(f) != 3 {
			continue
		}
		first, err1 := strconv.ParseUint(f[0], 10, 32)
		n, err2 := strconv.ParseUint(f[2], 10, 64)
		if err1 == nil && err2 == nil && uint64(r.first) >= first && uint64(r.first)+uint64(r.n) <= first+n {
			return true
		}
	}
	return false
}

// take gives out a number that nobody has.
func (u *users) take() (uint32, error) {
	if u.own {
		return uint32(os.Geteuid()), nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	for range u.from.n {
		id := u.from.first + u.next%u.from.n
		u.next++
		if !u.used[id] {
			u.used[id] = true
			return id, nil
		}
	}
	return 0, errNoUser
}

// give takes a number back once no process has it.
func (u *users) give(id uint32) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.used, id)
}
