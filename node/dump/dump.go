// Package dump lists what the kernel holds about the network. A listing that
// a change interrupts is incomplete (netlink's NLM_F_DUMP_INTR) and is taken
// again: on a node where pods come and go that is ordinary, and no fault.
//
// It keeps nothing and may be used concurrently.
package dump

import (
	"errors"

	"github.com/vishvananda/netlink"
)

// tries is how often a listing is taken until its interruption is an error.
const tries = 10

// List returns what list returns when nothing interrupts it.
//
// # Errors
//
// Returns list's, netlink.ErrDumpInterrupted only after ten tries.
func List[T any](list func() ([]T, error)) (all []T, err error) {
	for range tries {
		if all, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return all, err
}

// Links lists the devices of this thread's network namespace.
func Links() ([]netlink.Link, error) { return List(netlink.LinkList) }

// Addrs lists the IPv4 addresses of a device of this thread's network
// namespace, of all devices with nil.
func Addrs(l netlink.Link) ([]netlink.Addr, error) {
	return List(func() ([]netlink.Addr, error) { return netlink.AddrList(l, netlink.FAMILY_V4) })
}
