package tape

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"sort"
	"strconv"
)

// Builder builds tapes and keeps its buffers between them. It is used by one
// goroutine at a time; the zero value is ready.
type Builder struct {
	nodes []uint32
	keys  []uint32 // offset, length
	index map[string]uint32
	text  []byte
	out   []byte
	err   error
}

// Build returns the tape of v: a struct with JSON tags, or what encoding/json
// decodes to. Its fields are those of v's JSON, except metadata.managedFields,
// which is left out. The result is valid until the next Build.
func (b *Builder) Build(v any) ([]byte, error) {
	b.nodes, b.keys, b.text, b.err = append(b.nodes[:0], 0, 0, 0, 0), b.keys[:0], b.text[:0], nil
	if b.index == nil {
		b.index = map[string]uint32{}
	}
	clear(b.index)
	if u, ok := v.(interface{ UnstructuredContent() map[string]any }); ok {
		b.any(0, u.UnstructuredContent(), 0)
	} else {
		b.any(0, v, 0)
	}
	if b.err != nil {
		return nil, b.err
	}
	return b.encode(), nil
}

// Build is Builder.Build with a builder of its own; the result is the caller's.
func Build(v any) ([]byte, error) { return new(Builder).Build(v) }

func (b *Builder) encode() []byte {
	nkeys := len(b.keys) / 2
	slots := 2
	for slots < nkeys*2 {
		slots *= 2
	}
	words := headerWords + slots + len(b.keys) + len(b.nodes)
	size := words*4 + len(b.text)
	if cap(b.out) < size {
		b.out = make([]byte, size+size/4)
	}
	out := b.out[:size]
	clear(out[:(headerWords+slots)*4])
	put := func(word int, v uint32) { binary.LittleEndian.PutUint32(out[word*4:], v) }
	for i, h := range [6]int{magic, version, len(b.nodes) / nodeWords, nkeys, slots, len(b.text)} {
		put(i, uint32(h))
	}
	for k := range nkeys {
		off, n := b.keys[k*2], b.keys[k*2+1]
		i := hash(string(b.text[off:off+n])) & uint32(slots-1)
		for binary.LittleEndian.Uint32(out[(headerWords+int(i))*4:]) != 0 {
			i = (i + 1) & uint32(slots-1)
		}
		put(headerWords+int(i), uint32(k)+1)
	}
	at := headerWords + slots
	for _, w := range b.keys {
		put(at, w)
		at++
	}
	for _, w := range b.nodes {
		put(at, w)
		at++
	}
	copy(out[at*4:], b.text)
	return out
}

// key interns a key and returns its index.
func (b *Builder) key(name string) uint32 {
	if k, ok := b.index[name]; ok {
		return k
	}
	k := uint32(len(b.keys) / 2)
	b.index[name] = k
	b.keys = append(b.keys, uint32(len(b.text)), uint32(len(name)))
	b.text = append(b.text, name...)
	return k
}

// grow adds n empty nodes and returns the first.
func (b *Builder) grow(n int) uint32 {
	f := uint32(len(b.nodes) / nodeWords)
	for range n {
		b.nodes = append(b.nodes, 0, 0, 0, 0)
	}
	return f
}

func (b *Builder) set(i uint32, k Kind, length int, lo, hi uint32) {
	if length > lenMask {
		b.err = fmt.Errorf("tape: value of %d elements is too large", length)
		return
	}
	n := b.nodes[i*nodeWords:]
	n[1], n[2], n[3] = uint32(k)<<28|uint32(length), lo, hi
}

func (b *Builder) number(i uint32, k Kind, bits uint64) {
	b.set(i, k, 0, uint32(bits), uint32(bits>>32))
}

func (b *Builder) boolean(i uint32, v bool) {
	if v {
		b.set(i, Bool, 0, 1, 0)
	} else {
		b.set(i, Bool, 0, 0, 0)
	}
}

func (b *Builder) string(i uint32, s string) {
	b.set(i, String, len(s), uint32(len(b.text)), 0)
	b.text = append(b.text, s...)
}

// any writes a value of a dynamic type into node i.
func (b *Builder) any(i uint32, v any, depth int) {
	if depth > maxDepth {
		b.err = errDeep
	}
	if b.err != nil {
		return
	}
	switch x := v.(type) {
	case nil:
		b.set(i, Null, 0, 0, 0)
	case bool:
		b.boolean(i, x)
	case string:
		b.string(i, x)
	case int64:
		b.number(i, Int, uint64(x))
	case int:
		b.number(i, Int, uint64(x))
	case float64:
		if x == math.Trunc(x) && math.Abs(x) < 1<<53 {
			b.number(i, Int, uint64(int64(x)))
		} else {
			b.number(i, Float, math.Float64bits(x))
		}
	case json.Number:
		b.jsonNumber(i, x)
	case []any:
		f := b.grow(len(x))
		b.set(i, List, len(x), f, 0)
		for k, y := range x {
			b.any(f+uint32(k), y, depth+1)
		}
	case map[string]any:
		b.mapping(i, x, depth)
	default:
		b.value(i, reflect.ValueOf(v), depth)
	}
}

func (b *Builder) jsonNumber(i uint32, x json.Number) {
	if n, err := strconv.ParseInt(string(x), 10, 64); err == nil {
		b.number(i, Int, uint64(n))
		return
	}
	f, err := x.Float64()
	if err != nil {
		b.err = fmt.Errorf("tape: %w", err)
		return
	}
	b.number(i, Float, math.Float64bits(f))
}

func (b *Builder) mapping(i uint32, m map[string]any, depth int) {
	names := make([]string, 0, len(m))
	for k := range m {
		if k != managedFields {
			names = append(names, k)
		}
	}
	sort.Strings(names)
	f := b.grow(len(names))
	b.set(i, Map, len(names), f, 0)
	for k, name := range names {
		c := f + uint32(k)
		b.nodes[c*nodeWords] = b.key(name)
		b.any(c, m[name], depth+1)
	}
}

// raw writes a JSON text into node i.
func (b *Builder) raw(i uint32, text []byte, depth int) {
	if n := len(text); n >= 2 && text[0] == '"' && bytes.IndexByte(text, '\\') < 0 {
		b.string(i, string(text[1:n-1]))
		return
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		b.err = fmt.Errorf("tape: %w", err)
		return
	}
	b.any(i, v, depth)
}

func (b *Builder) bytes(i uint32, v []byte) {
	b.set(i, String, base64.StdEncoding.EncodedLen(len(v)), uint32(len(b.text)), 0)
	b.text = base64.StdEncoding.AppendEncode(b.text, v)
}
