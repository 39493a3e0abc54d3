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

var errEffort = errors.New("its functions are too complex")

// effort estimates how long the engine compiles, in nanoseconds. Its time
// grows with the square of what a function has of locals, and faster than that
// of its branches: 10,000 loops, in 60 KB, took a minute and a half. The
// factors were measured; guests of Go and LLVM are bounded by their size.
type effort struct{ total float64 }

// function adds a function that has so many parameters and locals, places
// where its code branches, and bytes of code.
func (e *effort) function(locals uint64, branches, bytes int) error {
	l, b := float64(locals), float64(branches)
	e.total += 3*l*l*b + b*b*(20+b/1000) + 400*float64(bytes)
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
