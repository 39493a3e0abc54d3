package dump_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/vishvananda/netlink"

	"github.com/pintle-io/pintle/node/dump"
)

func TestList(t *testing.T) {
	other := errors.New("other")
	for name, c := range map[string]struct {
		interrupted int // times
		err         error
		calls       int
	}{
		"at once":            {0, nil, 1},
		"interrupted":        {3, nil, 4},
		"interrupted always": {100, netlink.ErrDumpInterrupted, 10},
		"another error":      {2, other, 3},
	} {
		calls := 0
		got, err := dump.List(func() ([]int, error) {
			if calls++; calls <= c.interrupted {
				return []int{1}, fmt.Errorf("list: %w", netlink.ErrDumpInterrupted)
			}
			return []int{1, 2}, c.err
		})
		if !errors.Is(err, c.err) || calls != c.calls || err == nil && len(got) != 2 {
			t.Errorf("%s: %v %v after %d calls", name, got, err, calls)
		}
	}
}
