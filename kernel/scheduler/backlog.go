package scheduler

// backlog is what waits to be handed on, in order. It keeps nothing alive that
// was taken out: a slice that is only cut at its front keeps all of its array,
// which after a storm was thousands of pods.
type backlog[T any] struct{ items []T }

func (b *backlog[T]) len() int { return len(b.items) }

func (b *backlog[T]) add(x T) { b.items = append(b.items, x) }

// first is a copy of the oldest items, n at most.
func (b *backlog[T]) first(n int) []T { return append([]T(nil), b.items[:min(n, len(b.items))]...) }

// drop forgets the n oldest items. There must be as many.
func (b *backlog[T]) drop(n int) {
	clear(b.items[:n])
	if b.items = b.items[n:]; len(b.items) == 0 {
		b.items = nil
	}
}
