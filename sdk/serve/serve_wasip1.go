package serve

import (
	"unsafe"

	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/guest"
)

// Main is never called in a WASM module, which is started by _initialize and
// has registered its plugins by then; it keeps main.go the same for all hosts.
func Main() {}

// state is the one guest of this module instance.
var state struct {
	guest   *guest.Guest
	scratch []uint64 // requests; words, so that it is aligned
	region  []byte
	answer  []byte // what the kernel answered to the last host call
}

func init() { state.guest = guest.New(hostCall) }

//go:wasmimport pintle yield
func yield()

//go:wasmimport pintle call
func kernelCall(op uint32, req unsafe.Pointer, n uint32) uint32

//go:wasmimport pintle take
func kernelTake(to unsafe.Pointer, n uint32)

// hostCall asks the kernel: call answers the length, take fetches the bytes.
func hostCall(op wire.HostOp, req []byte) ([]byte, error) {
	n := kernelCall(uint32(op), unsafe.Pointer(unsafe.SliceData(req)), uint32(len(req)))
	if uint32(cap(state.answer)) < n {
		state.answer = make([]byte, n+n/4)
	}
	b := state.answer[:n]
	kernelTake(unsafe.Pointer(unsafe.SliceData(b)), n)
	return wire.ParseResult(b)
}

//go:wasmexport pintle_abi
func abi() uint32 { return wire.Version(wire.Major, wire.Minor) }

// scratch makes room for a request of n bytes and answers where.
//
//go:wasmexport pintle_scratch
func scratch(n uint32) uint32 {
	if words := int(n+7) / 8; words > len(state.scratch) {
		state.scratch = make([]uint64, words+words/4)
	}
	return address(unsafe.Pointer(unsafe.SliceData(state.scratch)))
}

// call answers the request of n bytes that lies in the scratch area: the
// address of the response in the upper half, its length in the lower.
//
//go:wasmexport pintle_call
func call(op, n uint32) uint64 {
	yield() // keeps the import, which the kernel's metering calls from loops
	var req []byte
	if n > 0 {
		req = unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(state.scratch))), n)
	}
	out := state.guest.Handle(wire.Op(op), req, state.region)
	return uint64(address(unsafe.Pointer(unsafe.SliceData(out))))<<32 | uint64(len(out))
}

const page = 4096

// region reserves n bytes, aligned to a page, and answers where.
//
//go:wasmexport pintle_region
func region(n uint32) uint32 {
	b := make([]byte, uint64(n)+page)
	skip := -address(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1)
	state.region = b[skip : uint64(skip)+uint64(n)]
	return address(unsafe.Pointer(unsafe.SliceData(b))) + skip
}

func address(p unsafe.Pointer) uint32 { return uint32(uintptr(p)) }
