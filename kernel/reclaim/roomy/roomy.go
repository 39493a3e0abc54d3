// Package roomy has a map that gives the room of a storm back: Go's maps keep
// that of the most that they ever held.
package roomy

import (
	"iter"
	"maps"
)

// Map is a map that shrinks. The zero value is empty and ready. Like Go's maps
// it may be read by several goroutines, and changed by one when none reads.
type Map[K comparable, V any] struct {
	m    map[K]V
	most int // since m was made
}

// from is the size from which giving back pays.
const from = 512

// Len is how many keys there are.
func (r *Map[K, V]) Len() int { return len(r.m) }

// Get is a key's value, the zero value when there is none.
func (r *Map[K, V]) Get(k K) V { return r.m[k] }

// Lookup is a key's value, and whether there is one.
func (r *Map[K, V]) Lookup(k K) (V, bool) {
	v, ok := r.m[k]
	return v, ok
}

// All are the keys and values, in no order. Those not yet seen may be deleted
// meanwhile.
func (r *Map[K, V]) All() iter.Seq2[K, V] { return maps.All(r.m) }

// Set sets a key's value.
func (r *Map[K, V]) Set(k K, v V) {
	if r.m == nil {
		r.m = map[K]V{}
	}
	r.m[k] = v
	r.most = max(r.most, len(r.m))
}

// Delete forgets a key.
func (r *Map[K, V]) Delete(k K) {
	delete(r.m, k)
	if r.most < from || len(r.m) > r.most/8 {
		return
	}
	m := make(map[K]V, len(r.m))
	for k, v := range r.m {
		m[k] = v
	}
	r.m, r.most = m, len(m)
}
