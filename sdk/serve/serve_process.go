//go:build !wasip1

package serve

import "github.com/pintle-io/pintle/sdk/process"

// Main serves the plugins that are linked in to the kernel that started this
// process, and returns when the kernel is done with it.
func Main() { process.Serve() }
