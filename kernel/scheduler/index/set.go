package index

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/pintle-io/pintle/sdk/wire/columns"
)

// Bounds of what plugins may ask for: a pod's author chooses selectors, so the
// number and size of indexes is an outsider's word.
const (
	MaxIndexes = 1024
	// maxRows bounds the rows of all indexes together; each takes 24 bytes in
	// its index.
	maxRows       = 4 << 20
	maxSelector   = 4096 // bytes
	maxNamespaces = 1024
	// maxDomains a label may have that no node has any more, for each node.
	maxStale = 4
)

// ErrSpec is wrapped by errors about a spec that says nothing sensible.
var ErrSpec = errors.New("counts of pods that cannot be kept")

// Pods calls yield for every pod that counts on a node.
type Pods func(yield func(node string, p Pod))

// Set holds the indexes that plugins asked for. Make one with NewSet.
type Set struct {
	table *columns.Table
	pods  Pods
	byKey map[string]*Index
	sweep uint64
}

// NewSet returns an empty set over a table. pods is called when an index is
// made.
func NewSet(table *columns.Table, pods Pods) *Set {
	return &Set{table: table, pods: pods, byKey: map[string]*Index{}, sweep: 1}
}

// Len is the number of indexes.
func (s *Set) Len() int { return len(s.byKey) }

// Get returns the index of a spec, up to date, and makes it when there is none:
// the least recently used goes when there are too many.
//
// # Errors
//   - ErrSpec
func (s *Set) Get(spec Spec) (*Index, error) {
	key := spec.key()
	x := s.byKey[key]
	if x == nil {
		var err error
		if x, err = s.open(spec); err != nil {
			return nil, err
		}
		for len(s.byKey) >= s.limit() {
			s.evict()
		}
		s.byKey[key] = x
	}
	x.used = s.sweep
	x.Update()
	return x, nil
}

func (s *Set) limit() int { return max(8, min(MaxIndexes, maxRows/max(s.table.Rows(), 1))) }

func (s *Set) open(spec Spec) (*Index, error) {
	if spec.TopologyKey == "" || len(spec.TopologyKey) > maxSelector {
		return nil, fmt.Errorf("%w: topology key of %d bytes", ErrSpec, len(spec.TopologyKey))
	}
	if len(spec.Selector) > maxSelector || len(spec.Namespaces) > maxNamespaces {
		return nil, fmt.Errorf("%w: a selector of %d bytes in %d namespaces, more than %d in %d", ErrSpec, len(spec.Selector), len(spec.Namespaces), maxSelector, maxNamespaces)
	}
	selector, err := labels.Parse(spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("%w: selector %q: %w", ErrSpec, spec.Selector, err)
	}
	x := &Index{table: s.table, key: spec.TopologyKey, selector: selector, skipTerminating: spec.SkipTerminating, onNode: map[string]int64{},
		domains: make([]domain, 1), ids: map[string]uint32{}}
	for i, n := range spec.Namespaces {
		if i == 0 {
			x.namespaces = map[string]bool{}
		}
		x.namespaces[n] = true
	}
	s.pods(func(node string, p Pod) {
		if x.Matches(p) {
			x.count(node, 1)
		}
	})
	return x, nil
}

// evict drops the least recently used index.
func (s *Set) evict() {
	oldest, at := "", ^uint64(0)
	for key, x := range s.byKey {
		if x.used < at || x.used == at && key < oldest {
			oldest, at = key, x.used
		}
	}
	delete(s.byKey, oldest)
}

// Count notes that a pod came to a node, with by 1, or left it, with -1. The
// table's log must name the node's row afterwards, if it has one.
func (s *Set) Count(node string, p Pod, by int64) {
	for _, x := range s.byKey {
		if x.Matches(p) {
			x.count(node, by)
		}
	}
}

// Sweep drops the indexes that nobody asked for in the last unused sweeps, and
// those whose label had many more values than there are nodes.
func (s *Set) Sweep(unused uint64) {
	s.sweep++
	for key, x := range s.byKey {
		if s.sweep-x.used > unused || len(x.domains) > maxStale*s.table.Rows()+1024 {
			delete(s.byKey, key)
		}
	}
}

// key is the same for specs that count alike.
func (s *Spec) key() string {
	names := slices.Compact(slices.Sorted(slices.Values(s.Namespaces)))
	return fmt.Sprintf("%t\x00%s\x00%s\x00%s", s.SkipTerminating, s.TopologyKey, s.Selector, strings.Join(names, "\x00"))
}
