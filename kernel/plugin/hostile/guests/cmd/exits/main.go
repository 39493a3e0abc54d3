// A plugin that ends its program before it is a plugin.
package main

import (
	"os"

	"github.com/pintle-io/pintle/sdk"
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "exits", New: func([]byte) (sdk.Points, error) { return nil, nil }})
	os.Exit(0)
}

func main() { serve.Main() }
