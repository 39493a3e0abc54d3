package resource

import (
	"math/big"
	"strconv"
	"strings"
)

// scale is what a suffix multiplies by: 10^ten or 2^two.
type scale struct{ ten, two int }

var suffixes = map[string]scale{
	"": {}, "n": {ten: -9}, "u": {ten: -6}, "m": {ten: -3},
	"k": {ten: 3}, "M": {ten: 6}, "G": {ten: 9}, "T": {ten: 12}, "P": {ten: 15}, "E": {ten: 18},
	"Ki": {two: 10}, "Mi": {two: 20}, "Gi": {two: 30}, "Ti": {two: 40}, "Pi": {two: 50}, "Ei": {two: 60},
}

// maxLen bounds the text of a quantity: longer ones are refused rather than
// computed with.
const maxLen = 256

// maxTen bounds decimal exponents: beyond, an amount is larger than any bound
// or smaller than a billionth whatever its digits.
const maxTen = 400

// parse answers the amount in billionths, rounded away from zero.
func parse(s string) (*big.Int, error) {
	if s == "" || len(s) > maxLen {
		return nil, ErrFormat
	}
	negative := s[0] == '-'
	if negative || s[0] == '+' {
		s = s[1:]
	}
	whole, rest := digits(s)
	fraction := ""
	if strings.HasPrefix(rest, ".") {
		fraction, rest = digits(rest[1:])
	}
	sc, ok := suffix(rest)
	if !ok {
		return nil, ErrFormat
	}
	n, ok := new(big.Int).SetString("0"+whole+fraction, 10)
	if !ok {
		return nil, ErrFormat
	}
	n = shift(n, sc, len(fraction))
	if sc.two > 0 && n.Cmp(maxBinary) > 0 {
		n.Set(maxBinary)
	}
	if negative {
		n.Neg(n)
	}
	return n, nil
}

// maxBinary is the cap of amounts with a binary suffix, which is Kubernetes'.
var maxBinary = new(big.Int).Mul(big.NewInt(1<<63-1), big.NewInt(1e9))

func digits(s string) (number, rest string) {
	i := 0
	for i < len(s) && s[i] >= '0' && s[i] <= '9' {
		i++
	}
	return s[:i], s[i:]
}

func suffix(s string) (scale, bool) {
	if sc, ok := suffixes[s]; ok {
		return sc, true
	}
	if s[0] != 'e' && s[0] != 'E' {
		return scale{}, false
	}
	ten, err := strconv.ParseInt(s[1:], 10, 32)
	return scale{ten: int(min(max(ten, -maxTen), maxTen))}, err == nil
}

// shift scales n, which has decimals digits behind the point, to billionths.
func shift(n *big.Int, sc scale, decimals int) *big.Int {
	n = new(big.Int).Lsh(n, uint(sc.two))
	ten := sc.ten - decimals + 9
	power := new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(ten, -ten))), nil)
	if ten >= 0 {
		return n.Mul(n, power)
	}
	return divUp(n, power)
}
