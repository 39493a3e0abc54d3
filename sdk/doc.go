// Package sdk is what the author of a Pintle plugin imports. A plugin is a
// library that calls [Register] in init and says in [Points] what it serves:
// scheduling filters and scores, admission rules, or a controller. The same
// source is built for three hosts: linked into the kernel, as a process, or as
// a WASM module (see package serve).
//
//	func init() {
//		sdk.Register(sdk.Plugin{Name: "no-latest", New: func([]byte) (*sdk.Points, error) {
//			return &sdk.Points{Validate: validate}, nil
//		}})
//	}
//
// Package sdk imports nothing but the standard library and its own packages
// wire, tape and columns. A kernel calls one instance of a plugin from one
// goroutine at a time; state in package variables is not shared between
// instances of a WASM or process plugin and must not be relied on.
package sdk
