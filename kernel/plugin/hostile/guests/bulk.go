package guests

import (
	"crypto/rand"

	"github.com/pintle-io/pintle/sdk/scheduling/vector"
)

// much is more than one instruction should move, and less than an instance may
// have.
const much = 100 << 20

func init() {
	Register("fill memory", func(*Call) error {
		for b := make([]byte, much); ; {
			clear(b)
		}
	})
	Register("copy memory", func(*Call) error {
		for b := make([]byte, much); ; {
			copy(b[much/2:], b)
		}
	})
	Register("draw random numbers", func(*Call) error {
		for b := make([]byte, much); ; {
			_, _ = rand.Read(b)
		}
	})
	Register("compare columns", func(*Call) error {
		rows := make([]uint32, 1_000_000)
		vector.In(vector.NewMask(len(rows)), rows, make([]uint32, 1_000_000))
		return nil
	})
	Register("grow lists", func(*Call) error { // copies, allocates and collects
		for {
			var list []uint64
			for i := range much / 32 {
				list = append(list, uint64(i))
			}
		}
	})
}
