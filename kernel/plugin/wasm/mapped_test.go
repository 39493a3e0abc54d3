package wasm_test

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// mapped counts this process's memory mappings of 32 MiB and more.
func mapped(t *testing.T) int {
	t.Helper()
	b, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(b), "\n") {
		from, to, ok := strings.Cut(strings.SplitN(line, " ", 2)[0], "-")
		if !ok {
			continue
		}
		lo, err1 := strconv.ParseUint(from, 16, 64)
		hi, err2 := strconv.ParseUint(to, 16, 64)
		if err1 == nil && err2 == nil && hi-lo >= 32<<20 {
			n++
		}
	}
	return n
}
