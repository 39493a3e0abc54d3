// Package sdk is what every plugin of Pintle imports. A plugin is a library
// that calls [Register] in init and answers with the points that it serves:
// filters and scores of nodes (package scheduling), admission rules (package
// admission), or a controller (package controller). The same source is built
// for three hosts: linked into the kernel, as a process, or as a WASM module
// (see package serve).
//
//	func init() {
//		sdk.Register(sdk.Plugin{Name: "no-latest", New: func([]byte) (sdk.Points, error) {
//			return &admission.Points{Validate: validate}, nil
//		}})
//	}
//
// Beside the points an author has the client (package client), Kubernetes'
// types (package api), and tests without a cluster (package sdktest). What is
// below wire is for kernels and for who writes a guest in another language.
//
// The SDK imports nothing but the standard library. A kernel calls one instance
// of a plugin from one goroutine at a time; state in package variables is not
// shared between instances of a WASM or process plugin and must not be relied
// on.
package sdk
