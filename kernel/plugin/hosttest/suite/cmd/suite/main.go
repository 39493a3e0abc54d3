// Command suite is the plugin of the host suite as a module of its own.
package main

import (
	_ "github.com/pintle-io/pintle/kernel/plugin/hosttest/suite"
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"
)

func main() { serve.Main() }
