// Package cost estimates what decoding bytes from outside will take, before it
// is done: "{}," in a list of containers is three bytes, and becomes half a
// kilobyte of memory and two of garbage. It reads bytes once, allocates next to
// nothing, and decides nothing: its callers have the limits.
// RATIONALE.md: "Why are bodies weighed before they are decoded?"
package cost

import (
	"fmt"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protowire"
)

// ValueBytes is what one value takes, about, while it is decoded, defaulted and
// validated. Measured with the worst of them, lists of empty containers: 2.3 KB
// a value, of which 0.5 remain.
const ValueBytes = 1 << 10

// JSON counts the values of a JSON text, about: what stands behind a comma or
// a bracket that opens. It need not be valid.
func JSON(data []byte) (values int) {
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '"':
			for i++; i < len(data) && data[i] != '"'; i++ {
				if data[i] == '\\' {
					i++
				}
			}
		case ',', '{', '[':
			values++
		}
	}
	return values
}

// maxDepth is how far Protobuf looks into messages in messages.
const maxDepth = 64

// Protobuf counts the strings and messages of a protobuf message, about. What
// is in a string and reads as a message counts too; of text it is one in
// thirty bytes at most.
func Protobuf(data []byte) (values int) {
	values, _ = message(data, maxDepth)
	return values
}

func message(data []byte, depth int) (values int, ok bool) {
	for len(data) > 0 {
		num, typ, n := protowire.ConsumeTag(data)
		if n < 0 || num > protowire.MaxValidNumber {
			return values, false
		}
		data = data[n:]
		if typ != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(num, typ, data); n < 0 {
				return values, false
			}
			data = data[n:]
			continue
		}
		inner, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return values, false
		}
		data = data[n:]
		values++
		if depth > 0 && len(inner) > 1 {
			if more, ok := message(inner, depth-1); ok {
				values += more
			}
		}
	}
	return values, true
}

// YAML is how many bytes a YAML text has when its aliases are replaced by what
// they stand for: a few bytes that name a long text, many times, stand for
// more than any memory. max ends the count.
//
// # Errors
//
// The text is no YAML, or an alias contains itself.
func YAML(data []byte, max int) (bytes int, err error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return 0, err
	}
	e := expansion{max: max, sizes: map[*yaml.Node]int{}}
	return e.size(&doc)
}

// nodeBytes stands for the punctuation around a node.
const nodeBytes = 2

type expansion struct {
	max   int
	sizes map[*yaml.Node]int // of anchors; -1 while one is being measured
}

func (e *expansion) size(n *yaml.Node) (int, error) {
	if n.Kind == yaml.AliasNode {
		return e.size(n.Alias)
	}
	if n.Anchor != "" {
		switch known, ok := e.sizes[n]; {
		case ok && known < 0:
			return 0, fmt.Errorf("yaml: anchor %q contains itself", n.Anchor)
		case ok:
			return known, nil
		}
		e.sizes[n] = -1
	}
	total := len(n.Value) + nodeBytes
	for _, c := range n.Content {
		s, err := e.size(c)
		if err != nil {
			return 0, err
		}
		if total += s; total > e.max {
			total = e.max + 1 // enough, and no overflow
		}
	}
	if n.Anchor != "" {
		e.sizes[n] = total
	}
	return total, nil
}
