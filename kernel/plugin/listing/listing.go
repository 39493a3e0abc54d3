// Package listing answers a guest's lists with what changed since the list
// that the guest holds (see sdk/wire, list answers), so that a controller over
// thousands of objects decodes only those that are new to it.
// RATIONALE.md: "Why do lists answer with what changed?"
package listing

import (
	"math/rand/v2"

	"github.com/pintle-io/pintle/kernel/watch"
	"github.com/pintle-io/pintle/sdk/wire"
)

// maxEntries bounds how many objects a session remembers, over all lists.
const maxEntries = 500_000

// Session remembers what one instance was told. It is used by one goroutine
// at a time and belongs to the instance: a new instance needs a new session.
// The zero value is ready.
type Session struct {
	lists   map[wire.ListRequest]*held
	token   uint64
	entries int
}

type held struct {
	token uint64
	items []*watch.Object
}

// Answer appends the answer to q, whose objects at present are items in order
// of their keys, each at its latest revision; encode makes the record of one.
// items is kept and must not change. Of more items than q.Limit the first are answered,
// and how many are left out.
func (s *Session) Answer(b []byte, q wire.ListRequest, items []*watch.Object, encode func(*watch.Object) ([]byte, error)) ([]byte, error) {
	more := 0
	if q.Limit > 0 && q.Limit < uint64(len(items)) {
		more = len(items) - int(q.Limit)
		items = items[:q.Limit]
	}
	token := q.Token
	q.Token = 0
	old := s.lists[q]
	full := old == nil || old.token != token
	var before []*watch.Object
	if !full {
		before = old.items
	}
	if s.token == 0 {
		// Tokens of another session must not be taken for this one's.
		s.token = rand.Uint64() >> 1
	}
	s.token++
	b = wire.AppendUint(b, s.token)
	b = wire.AppendBool(b, full)
	b = wire.AppendUint(b, uint64(len(items)))
	b, err := appendEdits(b, before, items, encode)
	if err != nil {
		return nil, err
	}
	b = wire.AppendUint(b, uint64(more))
	s.hold(q, &held{s.token, items})
	return b, nil
}

// appendEdits writes the steps from one sorted list to another.
func appendEdits(b []byte, before, now []*watch.Object, encode func(*watch.Object) ([]byte, error)) ([]byte, error) {
	for i, j := 0, 0; j < len(now); {
		kept := i
		for i < len(before) && j < len(now) && before[i] == now[j] {
			i, j = i+1, j+1
		}
		b = wire.AppendUint(b, uint64(i-kept))
		dropped, added := i, j
		for j < len(now) && (i >= len(before) || before[i] != now[j]) {
			if i < len(before) && before[i].Key <= now[j].Key {
				i++
				continue
			}
			j++
		}
		b = wire.AppendUint(b, uint64(i-dropped))
		b = wire.AppendUint(b, uint64(j-added))
		for _, o := range now[added:j] {
			body, err := encode(o)
			if err != nil {
				return nil, err
			}
			b = wire.AppendBytes(b, body)
		}
	}
	return b, nil
}

// hold remembers a list. When there is too much, everything else is forgotten:
// the guest is then answered in full once.
func (s *Session) hold(q wire.ListRequest, h *held) {
	if old := s.lists[q]; old != nil {
		s.entries -= len(old.items)
		delete(s.lists, q)
	}
	if len(h.items) > maxEntries || len(h.items) == 0 {
		return
	}
	if s.lists == nil || s.entries+len(h.items) > maxEntries {
		s.lists, s.entries = map[wire.ListRequest]*held{}, 0
	}
	s.lists[q] = h
	s.entries += len(h.items)
}
