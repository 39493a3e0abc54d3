package wasm

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// branchyModule has one function with so many locals, loops and conditions.
func branchyModule(locals, loops, ifs int) []byte {
	code := append(appendU32([]byte{1}, uint32(locals)), 0x7f)
	for range loops {
		code = append(code, opLoop, 0x40, opLocalGet, 0, opBrIf, 0, opEnd)
	}
	for i := range ifs {
		code = append(code, opLocalGet, 0, opIf, 0x40, opI32Const, 1)
		code = append(appendU32(append(code, opLocalSet), uint32(i%locals)), opEnd)
	}
	code = append(code, opEnd)
	body := append(appendU32([]byte{1}, uint32(len(code))), code...)
	b := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x10\x01\x06pintle\x05yield\x00\x00\x03\x02\x01\x00\x0a")
	return append(appendU32(b, uint32(len(body))), body...)
}

// TestEffort: modules of some kilobytes that the engine would compile for
// minutes or hours are refused; the numbers are what was measured.
func TestEffort(t *testing.T) {
	for _, c := range []struct {
		what               string
		locals, loops, ifs int
		refused            bool
	}{
		{"0.8 s", 10, 2000, 0, false},
		{"94 s", 10, 10_000, 0, true},
		{"3 s", 10, 0, 10_000, false},
		{"25 s", 10, 0, 20_000, true},
		{"2.8 s", 1000, 0, 1000, false},
		{"83 s", 5000, 0, 1000, true},
		{"hours", 50_000, 0, 100_000, true},
	} {
		if _, _, err := meter(branchyModule(c.locals, c.loops, c.ifs)); errors.Is(err, errEffort) != c.refused {
			t.Errorf("%d locals, %d loops, %d ifs (%s): %v, want refused: %v", c.locals, c.loops, c.ifs, c.what, err, c.refused)
		}
	}
}

// TestEffortOfStandard: what ships is far from the bound.
func TestEffortOfStandard(t *testing.T) {
	out := filepath.Join(t.TempDir(), "standard.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "github.com/pintle-io/pintle/plugins/cmd/standard")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, b)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = sanitize(b); err != nil {
		t.Fatal(err)
	}
	w := rewriter{yield: -1, used: map[uint32]bool{}}
	r := &reader{b: b, at: 8}
	for r.more() {
		id := r.byte()
		if err := w.section(id, r.bytes(r.u32())); err != nil {
			t.Fatal(err)
		}
	}
	if got := time.Duration(w.effort.total); got > maxEffort/6 {
		t.Errorf("estimated %s of %s", got, maxEffort)
	} else {
		t.Logf("estimated %s", got)
	}
}
