// Package process carries the kernel's operations to a plugin that runs as a
// process of its own, over hashicorp/go-plugin and gRPC. It is a module of its
// own, so that a plugin that is built for WASM alone has no dependency but the
// SDK. The program of a plugin imports it for its effect on serve.Main:
//
//	import _ "github.com/pintle-io/pintle/sdk/process"
//
// There is one stream per process and one instance per stream. Frames are raw
// bytes; no code is generated.
//
//	kernel → plugin   'C' op request      an operation
//	                  'A' response        the answer to a question
//	                  'R' size            the shared region has this size now
//	plugin → kernel   'R' response        the answer to an operation or a region
//	                  'Q' op request      a question to the kernel, before the answer
//
// The region is a memfd that the process inherits as descriptor 3.
package process
