package backend

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/apimachinery/pkg/runtime"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/utils/clock"
)

// BufferConfig says how events are gathered.
type BufferConfig struct {
	Size      int           // events that may wait; more are lost
	Bytes     int64         // that they may take, with those on their way; 0: no limit
	BatchSize int           // events that are passed on together, at most
	BatchWait time.Duration // after which fewer are
	// QPS and Burst bound the batches in a second; 0: no limit.
	QPS   float64
	Burst int
	// Senders are the batches that are passed on at once.
	Senders int

	Stop   context.Context // ended: nothing is waited for any more
	Clock  clock.Clock
	Health *Health
}

// Buffer takes events at once and passes them on in batches.
type Buffer struct {
	c      BufferConfig
	next   Backend
	events chan *auditinternal.Event
	done   chan struct{} // closed when everything has been passed on
	held   atomic.Int64  // bytes of events that wait or are on their way

	mu     sync.RWMutex
	closed bool // guarded by mu
}

var errFull = errors.New("the buffer is full: events come faster than the backend takes them")

// NewBuffer makes a Buffer before next, which it closes. It works until it is closed.
func NewBuffer(next Backend, c BufferConfig) *Buffer {
	b := &Buffer{c: c, next: next, events: make(chan *auditinternal.Event, c.Size), done: make(chan struct{})}
	go b.run()
	return b
}

// ProcessEvents implements Backend.
func (b *Buffer) ProcessEvents(events ...*auditinternal.Event) bool {
	b.mu.RLock()
	defer b.mu.RUnlock()
	if b.closed {
		b.c.Health.Failed(errClosed, len(events))
		return true
	}
	for i, ev := range events {
		if !b.take(ev) {
			b.c.Health.Failed(errFull, len(events)-i)
			return true
		}
	}
	b.c.Health.Succeeded()
	return true
}

// take keeps a copy of an event if there is room.
func (b *Buffer) take(ev *auditinternal.Event) bool {
	n := size(ev)
	if held := b.held.Add(n); b.c.Bytes == 0 || held <= b.c.Bytes {
		select {
		case b.events <- ev.DeepCopy():
			return true
		default:
		}
	}
	b.held.Add(-n)
	return false
}

// size is about what an event takes of memory: what clients make large of it counts.
func size(events ...*auditinternal.Event) (n int64) {
	for _, ev := range events {
		n += 2048 + int64(len(ev.RequestURI)+len(ev.UserAgent)+len(ev.AuditID))
		for _, body := range []*runtime.Unknown{ev.RequestObject, ev.ResponseObject} {
			if body != nil {
				n += int64(len(body.Raw))
			}
		}
	}
	return n
}

// Close implements Backend.
func (b *Buffer) Close() error {
	b.mu.Lock()
	if !b.closed {
		b.closed = true
		close(b.events)
	}
	b.mu.Unlock()
	<-b.done
	return b.next.Close()
}

func (b *Buffer) run() {
	defer close(b.done)
	limit := rate.NewLimiter(rate.Inf, 0)
	if b.c.QPS > 0 {
		limit = rate.NewLimiter(rate.Limit(b.c.QPS), b.c.Burst)
	}
	senders := make(chan struct{}, b.c.Senders)
	for {
		batch := b.gather()
		if batch == nil {
			break
		}
		_ = limit.Wait(b.c.Stop) // it has ended: then nothing is waited for
		senders <- struct{}{}
		go func() {
			n := size(batch...) // before they are changed on their way
			defer func() { b.held.Add(-n); <-senders }()
			b.next.ProcessEvents(batch...)
		}()
	}
	for range b.c.Senders {
		senders <- struct{}{}
	}
}

// gather waits for a batch; nil is the end.
func (b *Buffer) gather() []*auditinternal.Event {
	first, ok := <-b.events
	if !ok {
		return nil
	}
	batch := []*auditinternal.Event{first}
	if b.c.BatchSize <= 1 {
		return batch
	}
	timer := b.c.Clock.NewTimer(b.c.BatchWait)
	defer timer.Stop()
	for len(batch) < b.c.BatchSize {
		select {
		case ev, ok := <-b.events:
			if !ok {
				return batch
			}
			batch = append(batch, ev)
		case <-timer.C():
			return batch
		}
	}
	return batch
}

var _ Backend = (*Buffer)(nil)
