package resource

import "maps"

// overlay is an immutable map that is cheap to change a little of: what has
// changed lies over a base that many of its versions share. Reading takes two
// look-ups at most, one while nothing has changed.
type overlay[K comparable, V any] struct {
	base map[K]V
	over map[K]patch[V]
}

type patch[V any] struct {
	value   V
	removed bool
}

// maxOver is how many changes lie over a base before there is a new one: with n
// entries, a change costs maxOver + n/maxOver steps instead of n.
const maxOver = 128

func (o overlay[K, V]) get(k K) (v V, ok bool) {
	if len(o.over) > 0 {
		if p, ok := o.over[k]; ok {
			return p.value, !p.removed
		}
	}
	v, ok = o.base[k]
	return v, ok
}

// edit returns a copy that may be changed with set and remove until it is
// shared.
func (o overlay[K, V]) edit() overlay[K, V] {
	if len(o.over) < maxOver {
		over := maps.Clone(o.over)
		if over == nil {
			over = map[K]patch[V]{}
		}
		return overlay[K, V]{o.base, over}
	}
	return overlay[K, V]{o.flat().base, map[K]patch[V]{}}
}

// flat is the same map without changes over it.
func (o overlay[K, V]) flat() overlay[K, V] {
	base := make(map[K]V, len(o.base)+len(o.over))
	maps.Copy(base, o.base)
	for k, p := range o.over {
		if p.removed {
			delete(base, k)
		} else {
			base[k] = p.value
		}
	}
	return overlay[K, V]{base: base}
}

func (o overlay[K, V]) set(k K, v V) { o.over[k] = patch[V]{value: v} }

func (o overlay[K, V]) remove(k K) { o.over[k] = patch[V]{removed: true} }

func overlayOf[K comparable, V any](base map[K]V) overlay[K, V] { return overlay[K, V]{base: base} }
