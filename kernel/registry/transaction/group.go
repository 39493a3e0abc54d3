package transaction

import "github.com/pintle-io/pintle/kernel/store"

const (
	// commitOps is the number of operations of one commit of a batch; small
	// enough that several are on their way at once.
	commitOps = 256
	// commitBytes keeps a commit below what a store takes in one transaction.
	commitBytes = 1 << 20
)

// group is what of a batch goes into one commit. The zero value is empty.
type group struct {
	slots []*slot
	ops   []store.Op
	size  int             // bytes of ops
	keys  map[string]bool // of what is written, true; of what is charged, false
	count int             // charged objects
}

// add takes a slot up, whose operations are mine. It reports false, and changes
// nothing, when the slot must go into another commit: one has only so many operations
// and bytes, and a key is in it once. An empty group takes every slot.
func (g *group) add(s *slot, mine []store.Op) bool {
	size, charged := 0, 0
	fits := true
	for _, op := range mine {
		size += len(op.Key) + len(op.Value)
		_, taken := g.keys[op.Key]
		fits = fits && !taken
	}
	for i := range s.change.Charges {
		written, known := g.keys[s.change.Charges[i].ID.Key]
		fits = fits && !written
		if !known {
			charged++
		}
	}
	fits = fits && len(g.ops)+len(mine)+g.count+charged <= commitOps && g.size+size <= commitBytes
	if len(g.slots) > 0 && !fits {
		return false
	}
	if g.keys == nil {
		g.keys = map[string]bool{}
	}
	for i := range s.change.Charges {
		g.keys[s.change.Charges[i].ID.Key] = false
	}
	for _, op := range mine {
		g.keys[op.Key] = true
	}
	g.slots, g.ops, g.size, g.count = append(g.slots, s), append(g.ops, mine...), g.size+size, g.count+charged
	return true
}
