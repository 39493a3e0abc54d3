package tape

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Segment is one step of a path: a key, or an index into a list. A bracketed
// number is both, since a map may have numeric keys.
type Segment struct {
	Key   string
	Index int // -1 when Key is not a number in brackets
}

// ParsePath reads a path as Kubernetes writes it in messages: names separated
// by dots, and in brackets an index or a key that may hold anything but a
// closing bracket.
func ParsePath(path string) ([]Segment, error) {
	if path == "" {
		return nil, errEmptyPath
	}
	var out []Segment
	for rest := path; rest != ""; {
		s, r, ok := next(rest)
		if !ok {
			return nil, malformed(path)
		}
		out, rest = append(out, s), r
	}
	return out, nil
}

// CheckPath is the error that ParsePath would answer; it allocates nothing
// else.
func CheckPath(path string) error {
	if path == "" {
		return errEmptyPath
	}
	for rest := path; rest != ""; {
		_, r, ok := next(rest)
		if !ok {
			return malformed(path)
		}
		rest = r
	}
	return nil
}

var errEmptyPath = errors.New("empty path")

func malformed(path string) error { return fmt.Errorf("malformed path %q", path) }

// next splits the first segment off a path that is not empty.
func next(path string) (s Segment, rest string, ok bool) {
	if path[0] == '[' {
		end := strings.IndexByte(path, ']')
		if end < 2 {
			return s, "", false
		}
		s = Segment{Key: path[1:end], Index: index(path[1:end])}
		return s, trimDot(path[end+1:]), validRest(path[end+1:])
	}
	end := 0
	for end < len(path) && path[end] != '.' && path[end] != '[' {
		end++
	}
	if end == 0 {
		return s, "", false
	}
	return Segment{Key: path[:end], Index: -1}, trimDot(path[end:]), validRest(path[end:])
}

// validRest: what follows a segment is nothing, a bracket, or a dot with more.
func validRest(rest string) bool {
	return rest == "" || rest[0] == '[' || rest[0] == '.' && len(rest) > 1
}

func trimDot(rest string) string {
	if rest != "" && rest[0] == '.' {
		return rest[1:]
	}
	return rest
}

func index(s string) int {
	if len(s) > 9 {
		return -1
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return -1
		}
		n = n*10 + int(s[i]-'0')
	}
	return n
}

func appendInt(b []byte, v int64) []byte { return strconv.AppendInt(b, v, 10) }

func appendFloat(b []byte, v float64) ([]byte, error) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return b, fmt.Errorf("tape: %v has no JSON form", v)
	}
	return strconv.AppendFloat(b, v, 'g', -1, 64), nil
}

// AppendQuoted appends s as a JSON string.
func AppendQuoted(b []byte, s string) []byte {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x7f {
			q, _ := json.Marshal(s) // a string always has a JSON form
			return append(b, q...)
		}
	}
	return append(append(append(b, '"'), s...), '"')
}
