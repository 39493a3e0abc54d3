package layout1

import "structs"

// Keys and values of the maps, as the programs of this layout have them.
// Addresses and ports are in network byte order.
type (
	// Addr is an IPv4 address.
	Addr uint32

	// FrontendKey is where a service is asked.
	FrontendKey struct {
		_     structs.HostLayout
		Addr  Addr
		Port  uint16
		Proto uint8
		Scope uint8
	}

	// Backend is where it is served.
	Backend struct {
		_     structs.HostLayout
		Addr  Addr
		Port  uint16
		Proto uint8
		Flags uint8
	}

	// AffinityKey is a client of a service.
	AffinityKey struct {
		_       structs.HostLayout
		Client  uint64 // cookie of a network namespace, or clientAddr | address
		Service uint32
		Zero    uint32
	}

	// DatagramKey is one peer of an unconnected UDP socket.
	DatagramKey struct {
		_      structs.HostLayout
		Cookie uint64
		Addr   Addr
		Port   uint16
		Reply  uint16
	}

	// Datagram is what that peer stands for.
	Datagram struct {
		_       structs.HostLayout
		Addr    Addr
		Port    uint16
		Zero    uint16
		Backend uint32
	}

	// Flow is one direction of a translated flow.
	Flow struct {
		_            structs.HostLayout
		Saddr, Daddr Addr
		Sport, Dport uint16
		Proto        uint8
		Zero         [3]uint8
	}

	// NAT is its rewrite.
	NAT struct {
		_            structs.HostLayout
		Saddr, Daddr Addr
		Sport, Dport uint16
		Backend      uint32
		Flags        uint32
		Zero         uint32
		Seen         uint64
	}

	// Peer is kept with a connected socket: the program that copies it has it in
	// ebpf/bpf/src/v1.h.
	Peer struct {
		_                 structs.HostLayout
		Addr, BackendAddr Addr
		Port, BackendPort uint16
		Backend           uint32
		Proto             uint8
		Zero              [3]uint8
	}

	// Device is a device on which packets are translated.
	Device struct {
		_    structs.HostLayout
		Addr Addr
		Kind uint32
	}
)

const clientAddr = 1 << 63
