package podspec

import (
	"fmt"
	"strings"
)

// What Linux lets a process begin with: the longest single argument or
// variable, and all of them together (a quarter of the usual 8 MiB of stack).
// References multiply: a kilobyte of a pod's spec, each variable twice the one
// before, stands for gigabytes, so the bounds hold while values are put
// together and not only in the kernel.
const (
	maxString    = 128 << 10
	maxArguments = 2 << 20
)

// tooLong says which text became too long.
func tooLong(what string) error {
	return fmt.Errorf("%s has more than %d KiB when its references are expanded, which no process can be started with", what, maxString>>10)
}

// Expand replaces $(NAME) by its value. $$ stands for $, and a reference that
// lookup does not know stays as it is.
//
// # Errors
//
// The result is longer than what a process can be given.
func Expand(s string, lookup func(string) (string, bool)) (string, error) {
	if !strings.Contains(s, "$") && len(s) < maxString {
		return s, nil
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if b.Len() >= maxString {
			return "", tooLong("a value")
		}
		if s[i] != '$' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		switch s[i+1] {
		case '$':
			b.WriteByte('$')
			i++
		case '(':
			end := strings.IndexByte(s[i+2:], ')')
			if end < 0 {
				b.WriteByte('$')
				continue
			}
			name := s[i+2 : i+2+end]
			if v, ok := lookup(name); !ok {
				b.WriteString("$(" + name + ")")
			} else if b.Len()+len(v) < maxString {
				b.WriteString(v)
			} else {
				return "", tooLong("a value")
			}
			i += 2 + end
		default:
			b.WriteByte('$')
		}
	}
	if b.Len() >= maxString {
		return "", tooLong("a value")
	}
	return b.String(), nil
}

// expandAll expands the texts of a field; room is what they may have together.
func expandAll(in []string, field string, room *int, lookup func(string) (string, bool)) ([]string, error) {
	out := make([]string, len(in))
	for i, s := range in {
		v, err := Expand(s, lookup)
		if err != nil {
			return nil, tooLong(fmt.Sprintf("%s[%d]", field, i))
		}
		if *room -= len(v) + 1; *room < 0 {
			return nil, fmt.Errorf("%s[%d]: %w", field, i, errTooMuch)
		}
		out[i] = v
	}
	return out, nil
}
