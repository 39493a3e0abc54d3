package informer

import (
	"strings"
	"sync"

	"github.com/google/btree"

	"github.com/pintle-io/pintle/kernel/reclaim/roomy"
	"github.com/pintle-io/pintle/kernel/watch"
)

// Index finds objects by values that a function reads from them: the uids of
// their owners, the name of their node. It is kept by events that leave none
// out, as a [Differ] tells them. It is safe for concurrent use.
type Index struct {
	of func(*watch.Object) []string

	mu      sync.Mutex
	objects roomy.Map[string, *btree.BTreeG[*watch.Object]] // by value, then by key; guarded by mu
	values  roomy.Map[string, []string]                     // by key: where objects has it; guarded by mu
}

// NewIndex makes an index of the values that of answers. An object with none
// takes no room.
func NewIndex(of func(*watch.Object) []string) *Index { return &Index{of: of} }

// Apply applies a change.
func (x *Index) Apply(e watch.Event) {
	x.mu.Lock()
	defer x.mu.Unlock()
	key := e.Object.Key
	var now []string
	if e.Type != watch.Deleted {
		now = x.of(e.Object)
	}
	for _, v := range x.values.Get(key) {
		tree := x.objects.Get(v)
		if tree == nil {
			continue // a value that the object has twice
		}
		if tree.Delete(e.Object); tree.Len() == 0 {
			x.objects.Delete(v)
		}
	}
	if len(now) == 0 {
		x.values.Delete(key)
		return
	}
	x.values.Set(key, now)
	for _, v := range now {
		tree := x.objects.Get(v)
		if tree == nil {
			tree = btree.NewG(16, func(a, b *watch.Object) bool { return a.Key < b.Key })
			x.objects.Set(v, tree)
		}
		tree.ReplaceOrInsert(e.Object)
	}
}

// List answers the objects with a value whose keys begin with prefix, in the
// order of their keys.
func (x *Index) List(value, prefix string) []*watch.Object {
	x.mu.Lock()
	defer x.mu.Unlock()
	tree := x.objects.Get(value)
	if tree == nil {
		return nil
	}
	out := make([]*watch.Object, 0, tree.Len())
	tree.AscendGreaterOrEqual(&watch.Object{Key: prefix}, func(o *watch.Object) bool {
		if !strings.HasPrefix(o.Key, prefix) {
			return false
		}
		out = append(out, o)
		return true
	})
	return out
}
