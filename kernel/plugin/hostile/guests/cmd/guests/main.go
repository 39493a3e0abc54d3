// The plugins of the hostile suite as a module.
package main

import (
	_ "github.com/pintle-io/pintle/kernel/plugin/hostile/guests"
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"
)

func main() { serve.Main() }
