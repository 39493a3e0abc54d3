package informer

import "sync"

// finish is the wish that an informer ends with the watch under way.
type finish struct {
	once  sync.Once
	asked chan struct{} // closed when it is wished
}

func (f *finish) is() bool {
	select {
	case <-f.asked:
		return true
	default:
		return false
	}
}

// Finish has Run return when the watch under way ends, after all that it had to
// tell; at once when there is none. It is for a resource that has left the catalog,
// whose watches end by themselves: its last deletions are still told.
func (i *Informer) Finish() { i.finish.once.Do(func() { close(i.finish.asked) }) }
