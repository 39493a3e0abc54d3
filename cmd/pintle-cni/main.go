// Command pintle-cni is the CNI plugin of a Pintle node. A container runtime
// runs it for every pod; see node/cni/plugin.
package main

import (
	"os"
	"runtime/debug"

	"github.com/containernetworking/cni/pkg/skel"

	"github.com/pintle-io/pintle/node/cni/plugin"
)

func main() {
	// The process lives for milliseconds and allocates little: collecting
	// garbage would cost more than it frees. The limit is for what is unforeseen.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(64 << 20)
	skel.PluginMainFuncs(plugin.Funcs(os.Stdout), plugin.Versions, "Pintle pod network")
}
