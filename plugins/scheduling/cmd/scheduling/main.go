// Command scheduling is the set of scheduling plugins as a module for the WASM
// and process hosts:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags='-s -w' -o scheduling.wasm
package main

import (
	_ "github.com/pintle-io/pintle/plugins/scheduling"
	_ "github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/serve"
)

func main() { serve.Main() }
