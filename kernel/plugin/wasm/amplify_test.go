package wasm_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// leb writes an unsigned number.
func leb(n int) string {
	var b []byte
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return string(append(b, byte(n)))
}

// four functions that make a guest, as a code section has them.
const four = "\x06\x00" + abi2 + "\x0b" + "\x04\x00\x41\x10\x0b" + "\x04\x00\x42\x00\x0b" + "\x04\x00\x41\x00\x0b"

// withFunctions is a guest with one more type, and functions of it.
func withFunctions(extra string, bodies ...string) []byte {
	code := leb(4+len(bodies)) + four
	for _, b := range bodies {
		code += leb(len(b)) + b
	}
	return assemble(1, leb(5)+types[1:]+extra, 3, leb(4+len(bodies))+functions[1:]+strings.Repeat("\x04", len(bodies)),
		5, oneMemory, 7, exports(0), 10, code)
}

// values is a type that takes and gives so many numbers.
func values(params, results int) string {
	return "\x60" + leb(params) + strings.Repeat("\x7f", params) + leb(results) + strings.Repeat("\x7f", results)
}

// TestSmallModulesStaySmall: modules of which the engine makes a thousand times
// as much, in memory or time, are refused before it sees them. Of the first six
// kilobytes it made 900 MB, the second of 1 MB it compiled for more than an hour.
func TestSmallModulesStaySmall(t *testing.T) {
	h := newHost(t)
	push := func(n int) string { return strings.Repeat("\x41\x00", n) }
	for _, c := range []struct {
		name, text string
		code       []byte
	}{
		{"values through calls", "1000 parameters", withFunctions(values(1000, 1000), "\x00\x00\x0b", "\x00"+push(1000)+strings.Repeat("\x10\x04", 1000)+"\x00\x0b")},
		{"a million parameters", "1000000 parameters", withFunctions(values(1_000_000, 0), "\x00\x0b")},
		{"results of calls", "moves 1600000 values", withFunctions(values(0, 16), "\x00\x00\x0b", "\x00"+strings.Repeat("\x10\x04", 100_000)+"\x00\x0b")},
		{"results of indirect calls", "moves 1600000 values", withFunctions(values(0, 16), "\x00\x00\x0b", "\x00"+strings.Repeat("\x41\x00\x11\x04\x00", 100_000)+"\x00\x0b")},
		{"parameters of branches", "moves 640064 values", withFunctions(values(64, 16), "\x00"+push(64)+"\x03\x04"+strings.Repeat("\x41\x00\x0d\x00", 9_998)+"\x00\x0b\x00\x0b")},
		{"a large function", "a function of 600002 bytes", withFunctions(values(0, 0), "\x00"+strings.Repeat("\x01", 600_000)+"\x0b")},
		{"many types", "10001 things", assemble(1, leb(10_001)+strings.Repeat("\x60\x00\x00", 10_001))},
		{"many functions", "200001 things", assemble(1, types, 3, leb(200_001)+strings.Repeat("\x03", 200_001))},
		{"many exports", "1001 things", assemble(1, types, 7, leb(1001)+strings.Repeat("\x00\x00\x00", 1001))},
		{"many entries", "more than 1048576 entries", assemble(1, types, 9, "\x03"+strings.Repeat("\x01\x00"+leb(1<<19)+strings.Repeat("\x00", 1<<19), 3))},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := h.Open(t.Context(), module(c.code), plugin.OpenOptions{})
			if err == nil {
				_ = in.Close()
				t.Fatal("it was loaded")
			}
			if wire.KindOf(err) != wire.KindABI || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q, want %q", err, c.text)
			}
		})
	}
}

// TestRecursionWithoutMetering: two calls of itself, thirty deep, and no loop in
// which the engine would look at the time.
func TestRecursionWithoutMetering(t *testing.T) {
	h := newHost(t)
	const depth, less = "\x41\x1e", "\x20\x00\x41\x01\x6b"
	recursive := "\x00\x20\x00\x04\x40" + less + "\x10\x04\x1a" + less + "\x10\x04\x1a\x0b\x41\x00\x0b"
	call := "\x00" + depth + "\x10\x04\x1a\x42\x00\x0b"
	code := leb(5) + "\x06\x00" + abi2 + "\x0b" + "\x04\x00\x41\x10\x0b" + leb(len(call)) + call + "\x04\x00\x41\x00\x0b" + leb(len(recursive)) + recursive
	m := module(assemble(1, types, 3, leb(5)+functions[1:]+"\x01", 5, oneMemory, 7, exports(0), 10, code))
	stalls := watchStalls(t)
	start := time.Now()
	_, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: plugin.Limits{CallTimeout: 200 * time.Millisecond}})
	took := time.Since(start)
	if worst := stalls(); worst > time.Second {
		t.Errorf("the process could not be stopped for %s", worst)
	}
	if !errors.Is(err, wire.ErrDeadline) {
		t.Errorf("error %v, want a deadline", err)
	}
	if took > 30*time.Second {
		t.Errorf("the call took %s", took)
	}
}
