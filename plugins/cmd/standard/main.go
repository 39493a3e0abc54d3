// Command standard is the module of everything that ships: scheduling,
// admission and controllers. Most of a guest's code is the Go runtime and the
// sdk, so one module takes a third of the memory of three.
package main

import (
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"

	_ "github.com/pintle-io/pintle/plugins/standard"
)

func main() { serve.Main() }
