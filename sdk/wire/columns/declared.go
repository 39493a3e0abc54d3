package columns

//go:generate go -C ../../.. run ./internal/columngen -sdk sdk

import (
	"fmt"
	"sort"

	"github.com/pintle-io/pintle/sdk/wire"
)

// Declaration is a column that this version knows.
type Declaration struct {
	ID   ID
	Name string
	Type Type
	// Keyed: there is one for each key. Answer: the guest writes it.
	Keyed, Answer bool
	// Pods: it is over pods, not over nodes.
	Pods bool
}

// Lookup finds a column's declaration; false for an id that this version does
// not know.
func Lookup(id ID) (Declaration, bool) {
	i := sort.Search(len(declared), func(i int) bool { return declared[i].ID >= id })
	if i < len(declared) && declared[i].ID == id {
		return declared[i], true
	}
	return Declaration{}, false
}

// Ref names a column that a guest asks for. Key is the label or resource of a
// keyed one. Name is what the guest calls it, for messages: the host may be
// older and not know it.
type Ref struct {
	ID   ID
	Key  string
	Name string
}

func (r Ref) String() string {
	if r.Key != "" {
		return fmt.Sprintf("%s[%s] (%d)", r.Name, r.Key, r.ID)
	}
	return fmt.Sprintf("%s (%d)", r.Name, r.ID)
}

// AppendRefs encodes a list of columns.
func AppendRefs(b []byte, list []Ref) []byte {
	b = wire.AppendUint(b, uint64(len(list)))
	for _, r := range list {
		b = wire.AppendString(wire.AppendString(wire.AppendUint(b, uint64(r.ID)), r.Key), r.Name)
	}
	return b
}

// ReadRefs reads what AppendRefs wrote.
func ReadRefs(r *wire.Reader) []Ref {
	var out []Ref
	for range r.Count(3) {
		out = append(out, Ref{ID: ID(r.Uint()), Key: r.Str(), Name: r.Str()})
	}
	return out
}
