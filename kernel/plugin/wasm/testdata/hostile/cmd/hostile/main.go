// Command hostile is the hostile plugin as a module of its own.
package main

import (
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"

	_ "github.com/pintle-io/pintle/kernel/plugin/wasm/testdata/hostile"
)

func main() { serve.Main() }
