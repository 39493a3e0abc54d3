// Package wire is the protocol between kernel and plugin, the same for all
// hosts: operation codes, frames, the manifest, and error kinds that survive
// the crossing. It knows neither objects nor transports.
//
// Numbers are unsigned varints, strings and bytes are length-prefixed; see
// [Reader], which has 28 methods: one for each frame, beside those of the primitives.
// A response begins with a status byte: 0 and the payload, or 1 and
// an encoded [Error].
package wire

import "fmt"

// The version of the boundary. A kernel refuses another major; a higher minor
// of the guest is served with what both know.
const (
	Major = 2
	Minor = 4
)

// Version packs a version as the guest exports it.
func Version(major, minor uint32) uint32 { return major<<16 | minor&0xffff }

// CheckVersion tells whether a guest of the packed version can be served.
//
// # Errors
//   - ErrABI, with a message that names both versions and the remedy
func CheckVersion(v uint32) error {
	if v>>16 == Major {
		return nil
	}
	remedy := "build the plugin anew with the SDK of this release (pintle plugin new writes it into the folder .sdk)"
	if v>>16 > Major {
		remedy = "upgrade the server, or build the plugin with its release's SDK"
	}
	return Errorf(KindABI, "the plugin speaks ABI %d.%d, this server %d.%d: %s", v>>16, v&0xffff, Major, Minor, remedy)
}

// Op is an operation that the kernel asks of a guest.
type Op uint32

// Operations of every guest.
const (
	// OpHandshake () → Manifest list: what the module holds.
	OpHandshake Op = 1
	// OpOpen (name, config) → Manifest: opens one plugin of the module.
	OpOpen Op = 2
	// OpClose () → (): the instance will be discarded.
	OpClose Op = 3
	// OpMutate and OpValidate (review) → verdict.
	OpMutate   Op = 4
	OpValidate Op = 5
	// OpReconcile (request) → result.
	OpReconcile Op = 6
	// OpMap (watch index, object) → requests.
	OpMap Op = 7
	// OpConvert (conversion) → objects. Since 2.3.
	OpConvert Op = 8

	// OpScheduling is the first of the scheduling operations; package schedule
	// defines them. They read the region.
	OpScheduling Op = 64
)

// HostOp is an operation that a guest asks of the kernel during a call.
type HostOp uint32

// Host operations; see hostcall.go for their frames.
const (
	HostGet    HostOp = 1
	HostList   HostOp = 2
	HostWrite  HostOp = 3
	HostBatch  HostOp = 4
	HostEvent  HostOp = 5
	HostPatch  HostOp = 6
	HostDelete HostOp = 7
	// HostSubresource, HostFetch and HostResource are served since 2.4.
	HostSubresource HostOp = 8
	HostFetch       HostOp = 9
	HostResource    HostOp = 10
)

func (o Op) String() string {
	switch o {
	case OpHandshake:
		return "handshake"
	case OpOpen:
		return "open"
	case OpClose:
		return "close"
	case OpMutate:
		return "mutate"
	case OpValidate:
		return "validate"
	case OpReconcile:
		return "reconcile"
	case OpMap:
		return "map"
	case OpConvert:
		return "convert"
	}
	if o >= OpScheduling {
		return fmt.Sprintf("scheduling+%d", uint32(o-OpScheduling))
	}
	return fmt.Sprintf("op %d", uint32(o))
}
