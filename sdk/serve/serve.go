// Package serve makes a plugin out of the libraries that its main package
// imports. The same main is built for every host:
//
//	package main
//
//	import (
//		"github.com/pintle-io/pintle/sdk/serve"
//
//		_ "example.com/myplugin"
//	)
//
//	func main() { serve.Main() }
//
// With a second import, _ "github.com/pintle-io/pintle/sdk/process", it can be
// built as a process too; that is a module of its own, with gRPC.
//
// With GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared it is a WASM
// module, which exports pintle_abi, pintle_scratch, pintle_call and
// pintle_region; otherwise it is an executable that the kernel starts.
package serve
