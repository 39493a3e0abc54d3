package reconcile

// roomy is a map that gives the room of a storm back: Go's maps keep that of the
// most that they ever held. Reading is m's; set and drop change it.
type roomy[K comparable, V any] struct {
	m    map[K]V
	most int // since m was made
}

// roomyFrom is the size from which giving back pays.
const roomyFrom = 512

func (r *roomy[K, V]) set(k K, v V) {
	if r.m == nil {
		r.m = map[K]V{}
	}
	r.m[k] = v
	r.most = max(r.most, len(r.m))
}

func (r *roomy[K, V]) drop(k K) {
	delete(r.m, k)
	if r.most < roomyFrom || len(r.m) > r.most/8 {
		return
	}
	m := make(map[K]V, len(r.m))
	for k, v := range r.m {
		m[k] = v
	}
	r.m, r.most = m, len(m)
}
