package encodings

import (
	"slices"
	"sync"
	"sync/atomic"
)

// encoding is an object in one version and media type.
type encoding struct {
	version, mediaType string
	heat               atomic.Int32           // see the constants
	bytes              atomic.Pointer[[]byte] // nil: to be made again when asked for
}

// The heat of an encoding: what the pool goes by. A list of everything does not
// push out what is asked for again and again.
const (
	cold int32 = iota // may be taken back by the next sweep
	warm              // new, or not asked for since the pool looked last
	hot               // asked for again
)

// ready returns the bytes, nil if there are none.
func (e *encoding) ready() []byte {
	b := e.bytes.Load()
	if b == nil {
		return nil
	}
	if e.heat.Load() != hot {
		e.heat.Store(hot)
	}
	return *b
}

// Pool bounds the encoded bytes that all objects of a cache hold on to.
// Those that nobody has asked for lately go first (a clock), and by and by all
// that nobody asks for. It knows encodings, not objects: it keeps none alive. It is
// safe for concurrent use.
type Pool struct {
	limit int

	mu    sync.Mutex
	queue []*encoding // oldest first, from next on; guarded by mu
	next  int         // guarded by mu
	bytes int         // guarded by mu
	// past are encodings of states that have passed: those of this tick, and
	// those of the one before.
	past [2][]*encoding // guarded by mu
}

// NewPool makes a pool of so many bytes.
func NewPool(limit int) *Pool { return &Pool{limit: limit} }

// Retire takes an object's bytes back soon, since its state has passed.
// Watchers that have yet to send them are given until the tick after next; who
// comes later has them made again.
func (p *Pool) Retire(s *Set) {
	if !s.mu.TryLock() {
		return // somebody asks for it just now
	}
	defer s.mu.Unlock()
	if len(s.enc) == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.past[0] = append(p.past[0], s.enc...)
}

// Tick takes back what was retired before the last tick.
func (p *Pool) Tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, e := range p.past[1] {
		p.take(e)
	}
	p.past[0], p.past[1] = nil, p.past[0]
}

// put gives an encoding its bytes and takes others' back to make room.
func (p *Pool) put(e *encoding, b []byte) {
	if cap(b)-len(b) > len(b)/8 {
		b = slices.Clone(b)
	}
	e.bytes.Store(&b)
	e.heat.Store(warm)
	if p == nil {
		return // of an object that is in no cache: it ends with it
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, e)
	p.bytes += cap(b)
	for p.bytes > p.limit && p.next < len(p.queue)-1 {
		oldest := p.queue[p.next]
		p.queue[p.next] = nil
		p.next++
		if oldest.heat.CompareAndSwap(hot, warm) {
			p.queue = append(p.queue, oldest)
		} else {
			p.take(oldest)
		}
	}
	p.compact()
}

// take takes an encoding's bytes back. Callers hold mu.
func (p *Pool) take(e *encoding) {
	if b := e.bytes.Swap(nil); b != nil {
		p.bytes -= cap(*b)
	}
}

// compact keeps the queue from growing at one end for ever. Callers hold mu.
func (p *Pool) compact() {
	if p.next > 1024 && p.next > len(p.queue)/2 {
		p.queue = append(make([]*encoding, 0, 2*(len(p.queue)-p.next)), p.queue[p.next:]...)
		p.next = 0
	}
}

// Sweep takes back what nobody has asked for since the last sweep, or the last
// two if it had been asked for again before.
func (p *Pool) Sweep() {
	p.mu.Lock()
	defer p.mu.Unlock()
	kept := make([]*encoding, 0, len(p.queue)-p.next)
	for _, e := range p.queue[p.next:] {
		if e.heat.Add(-1) < cold {
			p.take(e)
		} else {
			kept = append(kept, e)
		}
	}
	p.queue, p.next = slices.Clip(kept), 0
}

// Size returns how many bytes are ready.
func (p *Pool) Size() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}
