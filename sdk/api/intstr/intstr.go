// Package intstr holds a field that is a number or a string: a port by number
// or name, a count or a percentage.
package intstr

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// IntOrString is a number or, when IsString, a string.
type IntOrString struct {
	IsString bool
	IntVal   int32
	StrVal   string
}

// FromInt is a number.
func FromInt(v int) IntOrString { return IntOrString{IntVal: int32(v)} }

// FromString is a string.
func FromString(s string) IntOrString { return IntOrString{IsString: true, StrVal: s} }

// String is the value as text.
func (v IntOrString) String() string {
	if v.IsString {
		return v.StrVal
	}
	return strconv.Itoa(int(v.IntVal))
}

// IntValue is the number, or the number that the string spells; 0 otherwise.
func (v IntOrString) IntValue() int {
	if !v.IsString {
		return int(v.IntVal)
	}
	n, err := strconv.Atoi(v.StrVal)
	if err != nil {
		return 0
	}
	return n
}

// Scaled resolves a percentage of total, rounded up or down; a number is
// answered as it is.
//
// # Errors
//   - a string that is not a percentage
func (v IntOrString) Scaled(total int, roundUp bool) (int, error) {
	if !v.IsString {
		return int(v.IntVal), nil
	}
	num, ok := strings.CutSuffix(v.StrVal, "%")
	n, err := strconv.Atoi(num)
	if !ok || err != nil {
		return 0, fmt.Errorf("%q is neither a number nor a percentage", v.StrVal)
	}
	if roundUp {
		return int((int64(n)*int64(total) + 99) / 100), nil
	}
	return int(int64(n) * int64(total) / 100), nil
}

// MarshalJSON writes a number or a string.
func (v IntOrString) MarshalJSON() ([]byte, error) {
	if v.IsString {
		return json.Marshal(v.StrVal)
	}
	return strconv.AppendInt(nil, int64(v.IntVal), 10), nil
}

// UnmarshalJSON reads a number or a string.
func (v *IntOrString) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		v.IsString, v.IntVal = true, 0
		return json.Unmarshal(b, &v.StrVal)
	}
	v.IsString, v.StrVal = false, ""
	return json.Unmarshal(b, &v.IntVal)
}
