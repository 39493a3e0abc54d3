package resource

import (
	"math/big"
	"strconv"
	"strings"
)

// Add is the sum of two amounts, in Kubernetes' canonical form: with the sort of
// suffix that q has, o's when q is zero. A malformed amount counts as zero.
func (q Quantity) Add(o Quantity) Quantity {
	a, b := q.nano(), o.nano()
	kind := q
	if a.Sign() == 0 {
		kind = o
	}
	return canonical(new(big.Int).Add(a, b), kind)
}

// canonical writes an amount in billionths with the largest suffix that leaves no
// fraction, of the sort that like has.
func canonical(nano *big.Int, like Quantity) Quantity {
	binary := strings.HasSuffix(string(like), "i")
	whole, part := new(big.Int).QuoRem(nano, big.NewInt(1e9), new(big.Int))
	if binary && part.Sign() == 0 && whole.CmpAbs(big.NewInt(1024)) >= 0 {
		return Quantity(reduce(whole, 1024, []string{"", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"}))
	}
	if nano.Sign() == 0 {
		return "0"
	}
	if exponential(like) {
		return decimalExponent(nano)
	}
	return Quantity(reduce(nano, 1000, []string{"n", "u", "m", "", "k", "M", "G", "T", "P", "E"}))
}

// reduce divides by base as long as nothing is left over and there is a suffix.
func reduce(n *big.Int, base int64, suffixes []string) string {
	b, i := big.NewInt(base), 0
	for i < len(suffixes)-1 {
		q, r := new(big.Int).QuoRem(n, b, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		n, i = q, i+1
	}
	return n.String() + suffixes[i]
}

// exponential tells whether a quantity is written like "1e3".
func exponential(q Quantity) bool {
	i := strings.IndexAny(string(q), "eE")
	return i >= 0 && i < len(q)-1 // "1E" has a suffix
}

func decimalExponent(nano *big.Int) Quantity {
	n, exponent := nano, -9
	thousand := big.NewInt(1000)
	for {
		q, r := new(big.Int).QuoRem(n, thousand, new(big.Int))
		if r.Sign() != 0 {
			break
		}
		n, exponent = q, exponent+3
	}
	if exponent == 0 {
		return Quantity(n.String())
	}
	return Quantity(n.String() + "e" + strconv.Itoa(exponent))
}

// Sub is the difference of two amounts, in the form of Add.
func (q Quantity) Sub(o Quantity) Quantity {
	a, b := q.nano(), o.nano()
	kind := q
	if a.Sign() == 0 {
		kind = o
	}
	return canonical(new(big.Int).Sub(a, b), kind)
}
