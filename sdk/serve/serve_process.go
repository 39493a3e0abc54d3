//go:build !wasip1

package serve

import (
	"fmt"
	"os"
)

// Process serves the plugins that are linked in to the kernel that started this
// process, and returns when the kernel is done with it. Package sdk/process
// sets it.
var Process func()

// Main serves the plugins that are linked in. Without package sdk/process the
// program cannot speak to a kernel: it says so and ends with status 2.
func Main() {
	if Process == nil {
		fmt.Fprintln(os.Stderr, "This is a Pintle plugin that can be built for WASM only: build it with pintle plugin build, "+
			"which does so for the host process as well, or import github.com/pintle-io/pintle/sdk/process in its program.")
		os.Exit(2)
	}
	Process()
}
