package wasm

import (
	"testing"

	"github.com/tetratelabs/wazero"
)

// FuzzMeter feeds hostile modules to what stands before the engine: it must
// not panic, what it makes of a valid module must be valid, and nothing of it
// may claim much memory.
func FuzzMeter(f *testing.F) {
	f.Add([]byte("\x00asm\x01\x00\x00\x00"))
	f.Add(loopingModule)
	for i := range loopingModule {
		b := append([]byte(nil), loopingModule...)
		b[i] ^= 0xff
		f.Add(b)
	}
	r := wazero.NewRuntimeWithConfig(f.Context(), wazero.NewRuntimeConfigInterpreter())
	f.Fuzz(func(t *testing.T, in []byte) {
		in, err := sanitize(in)
		if err != nil {
			return
		}
		before, err := compile(t.Context(), r, in)
		if err != nil {
			return
		}
		defer before.Close(t.Context())
		in, _ = takeSegments(in)
		out, _, err := meter(in)
		if err != nil {
			return
		}
		after, err := compile(t.Context(), r, out)
		if err != nil {
			t.Fatalf("a valid module became invalid: %v", err)
		}
		_ = after.Close(t.Context())
	})
}

// loopingModule imports pintle.yield, has a global, and a function with nested
// loops, a branch table, and a call before its first loop.
var loopingModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x08\x02\x60\x00\x00\x60\x01\x7f\x00" + // types: () → (), (i32) → ()
	"\x02\x10\x01\x06pintle\x05yield\x00\x00" + // function 0
	"\x03\x03\x02\x01\x00" + // functions 1, 2
	"\x06\x06\x01\x7f\x01\x41\x00\x0b" + // a mutable i32
	"\x07\x05\x01\x01f\x00\x01" +
	"\x0a\x21\x02" +
	"\x1a\x01\x01\x7f" + // function 1, one local
	"\x10\x02" + // call 2
	"\x03\x40" + "\x20\x00\x41\x01\x6b\x22\x00" + // loop: local 0 - 1
	"\x04\x40\x0c\x01\x0b" + // if: br 1
	"\x0b" + "\x41\x00\x0e\x00\x00\x0b" + // br_table
	"\x04\x00\x10\x00\x0b")
