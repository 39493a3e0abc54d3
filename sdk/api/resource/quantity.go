// Package resource holds quantities: "500m", "2Gi", "1e3".
package resource

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"strconv"
)

// Quantity is an amount as it is written in objects. The zero value is zero.
type Quantity string

// ErrFormat is the error of a text that is not a quantity.
var ErrFormat = errors.New("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")

// ParseQuantity checks s.
func ParseQuantity(s string) (Quantity, error) {
	if _, err := parse(s); err != nil {
		return "", fmt.Errorf("%q: %w", s, err)
	}
	return Quantity(s), nil
}

// Whole is an amount without a fraction.
func Whole(v int64) Quantity { return Quantity(strconv.FormatInt(v, 10)) }

// Milli is an amount in thousandths, such as CPU time.
func Milli(v int64) Quantity {
	if v%1000 == 0 {
		return Whole(v / 1000)
	}
	return Quantity(strconv.FormatInt(v, 10) + "m")
}

// Value is the amount, rounded away from zero to a whole number. It is 0 when
// q is malformed and saturates at the bounds of int64.
func (q Quantity) Value() int64 { return q.scaled(1e9) }

// MilliValue is the amount in thousandths, rounded like Value.
func (q Quantity) MilliValue() int64 { return q.scaled(1e6) }

// IsZero tells whether the amount is zero; so is a malformed one.
func (q Quantity) IsZero() bool { return q.Cmp("0") == 0 }

// Cmp compares amounts: -1, 0 or 1. A malformed one counts as zero.
func (q Quantity) Cmp(o Quantity) int { return q.nano().Cmp(o.nano()) }

// nano is the amount in billionths, the finest that quantities have.
func (q Quantity) nano() *big.Int {
	n, err := parse(string(q))
	if err != nil {
		return new(big.Int)
	}
	return n
}

// scaled divides the amount in billionths by unit.
func (q Quantity) scaled(unit int64) int64 {
	if n, err := strconv.ParseInt(string(q), 10, 64); err == nil && unit == 1e9 {
		return n
	}
	n := divUp(q.nano(), big.NewInt(unit))
	if !n.IsInt64() {
		if n.Sign() < 0 {
			return math.MinInt64
		}
		return math.MaxInt64
	}
	return n.Int64()
}

// divUp divides, rounding away from zero.
func divUp(a, b *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(a, b, new(big.Int))
	if r.Sign() != 0 {
		q.Add(q, big.NewInt(int64(a.Sign())))
	}
	return q
}
