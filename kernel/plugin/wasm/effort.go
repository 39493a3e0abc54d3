package wasm

import (
	"errors"
	"fmt"
	"time"
)

// maxEffort bounds how long the engine may need for a module, as effort
// estimates it. It is preemptible work of this process, but nothing ends it
// once it has begun, and it begins again at each start.
const maxEffort = time.Minute

// maxMoved bounds the values that instructions of one function move without that
// anybody pushed them: results of calls, parameters of blocks, of branches to
// them. The engine keeps up to a KiB for each.
const maxMoved = 400_000

var errEffort = errors.New("its functions are too complex")

// effort estimates how long the engine compiles, in nanoseconds. Its time
// grows with the square of what a function has of locals, and faster than that
// of its branches: 10,000 loops, in 60 KB, took a minute and a half. The
// factors were measured; guests of Go and LLVM are bounded by their size.
// RATIONALE.md: "Why does the rewriter estimate how long the engine compiles?"
type effort struct{ total float64 }

// function adds a function that has so many parameters and locals, places
// where its code branches, bytes of code, and values that move by themselves.
func (e *effort) function(locals uint64, branches, bytes int, moved uint64) error {
	if moved > maxMoved {
		return fmt.Errorf("%w: one of %d bytes moves %d values by calls and branches, %d are allowed", errEffort, bytes, moved, maxMoved)
	}
	l, b := float64(locals), float64(branches)
	e.total += 10_000 + 3*l*l*b + b*b*(20+b/1000) + 400*float64(bytes) + 5000*float64(moved)
	if e.total > float64(maxEffort) {
		return fmt.Errorf("%w: compiling a function of %d bytes with %d locals and %d branches, and those before it, would take more than %s",
			errEffort, bytes, locals, branches, maxEffort)
	}
	return nil
}

// branches is what an instruction adds: a loop has a tax with it.
func branches(op byte) int {
	switch op {
	case opLoop:
		return 3
	case opIf:
		return 2
	case opBlock, opElse, opBrIf:
		return 1
	}
	return 0
}
