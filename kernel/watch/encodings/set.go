// Package encodings shares the encoded forms of objects, by version and media
// type, between all who read them, and bounds what they take together: what
// nobody asks for is given up and made again for who asks later.
package encodings

import (
	"sync"

	"k8s.io/apimachinery/pkg/runtime"
)

// Set is the encodings of one object. The zero value is empty; it is safe for
// concurrent use and must not be copied.
type Set struct {
	mu  sync.Mutex
	enc []*encoding // guarded by mu; few entries, searched linearly
}

// Get returns the bytes of obj, whose set this is, in a version and media type.
// They are made by make, and kept as long as they are asked for and p, which
// may be nil, has room. They are shared: nobody may modify them.
//
// # Errors
//   - those of make
func (s *Set) Get(p *Pool, obj runtime.Object, version, mediaType string, make func(runtime.Object) ([]byte, error)) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.find(version, mediaType)
	if b := e.ready(); b != nil {
		return b, nil
	}
	b, err := make(obj)
	if err != nil {
		return nil, err
	}
	p.put(e, b)
	return b, nil
}

// Ready tells that the bytes need not be made.
func (s *Set) Ready(version, mediaType string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.find(version, mediaType).ready() != nil
}

// find finds or adds an entry. Callers hold mu.
func (s *Set) find(version, mediaType string) *encoding {
	for _, e := range s.enc {
		if e.version == version && e.mediaType == mediaType {
			return e
		}
	}
	e := &encoding{version: version, mediaType: mediaType}
	s.enc = append(s.enc, e)
	return e
}
