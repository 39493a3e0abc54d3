// Package lbtest is for tests of the load balancer: it makes and reads the
// packets with which its programs are tried, and stands for an agent of an older
// version. A [Packet] is what a test cares about; headers, lengths and checksums
// are filled in, and verified when read back. An [OldVersion] leaves in the kernel
// what a new one takes over.
package lbtest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// TCP flags.
const (
	FIN = 0x01
	SYN = 0x02
	RST = 0x04
	ACK = 0x10
)

// A Packet is TCP or UDP over IPv4.
type Packet struct {
	Src, Dst netip.AddrPort
	UDP      bool
	// Flags, Seq, Ack and TCPOptions (a multiple of four bytes) are TCP's.
	Flags      uint8
	Seq, Ack   uint32
	TCPOptions []byte
	// NoSum leaves a UDP checksum out, as UDP over IPv4 may.
	NoSum bool
	// Options are IP options, a multiple of four bytes.
	Options []byte
	// Fragment is the IP header's flags and fragment offset.
	Fragment uint16
	TTL      uint8 // 0 means 64
	Payload  string
}

const ethernet = 14

// Frame returns p as an Ethernet frame.
func (p Packet) Frame() []byte {
	l4 := p.transport()
	head := 20 + len(p.Options)
	ip := make([]byte, head, head+len(l4))
	ip[0] = 4<<4 | byte(head/4)
	binary.BigEndian.PutUint16(ip[2:], uint16(head+len(l4)))
	binary.BigEndian.PutUint16(ip[6:], p.Fragment)
	ip[8] = p.TTL
	if p.TTL == 0 {
		ip[8] = 64
	}
	ip[9] = p.proto()
	copy(ip[12:], p.Src.Addr().AsSlice())
	copy(ip[16:], p.Dst.Addr().AsSlice())
	copy(ip[20:], p.Options)
	binary.BigEndian.PutUint16(ip[10:], sum(ip))
	if !p.UDP {
		binary.BigEndian.PutUint16(l4[16:], l4sum(ip, l4))
	} else if !p.NoSum {
		binary.BigEndian.PutUint16(l4[6:], l4sum(ip, l4))
	}
	frame := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	return append(append(frame, ip...), l4...)
}

func (p Packet) proto() byte {
	if p.UDP {
		return 17
	}
	return 6
}

func (p Packet) transport() []byte {
	head := 20 + len(p.TCPOptions)
	if p.UDP {
		head = 8
	}
	b := make([]byte, head, head+len(p.Payload))
	binary.BigEndian.PutUint16(b, p.Src.Port())
	binary.BigEndian.PutUint16(b[2:], p.Dst.Port())
	if p.UDP {
		binary.BigEndian.PutUint16(b[4:], uint16(head+len(p.Payload)))
	} else {
		binary.BigEndian.PutUint32(b[4:], p.Seq)
		binary.BigEndian.PutUint32(b[8:], p.Ack)
		b[12], b[13] = byte(head/4)<<4, p.Flags
		copy(b[20:], p.TCPOptions)
	}
	return append(b, p.Payload...)
}

// Parse reads a frame that Frame could have made.
//
// # Errors
//
// Anything else is an error, a wrong checksum among them.
func Parse(frame []byte) (Packet, error) {
	if len(frame) < ethernet+20 {
		return Packet{}, errors.New("short frame")
	}
	ip := frame[ethernet:]
	head := int(ip[0]&15) * 4
	if total := int(binary.BigEndian.Uint16(ip[2:])); head < 20 || total > len(ip) || total < head+8 {
		return Packet{}, fmt.Errorf("header of %d bytes, packet of %d, frame of %d", head, total, len(frame))
	} else {
		ip = ip[:total]
	}
	if sum(ip[:head]) != 0 {
		return Packet{}, errors.New("wrong IP checksum")
	}
	p := Packet{TTL: ip[8], UDP: ip[9] == 17, Fragment: binary.BigEndian.Uint16(ip[6:])}
	if head > 20 {
		p.Options = ip[20:head]
	}
	l4 := ip[head:]
	data := 8
	if p.UDP {
		p.NoSum = l4[6] == 0 && l4[7] == 0
	} else {
		if len(l4) < 20 {
			return Packet{}, errors.New("short TCP header")
		}
		p.Flags, data = l4[13], int(l4[12]>>4)*4
		p.Seq, p.Ack = binary.BigEndian.Uint32(l4[4:]), binary.BigEndian.Uint32(l4[8:])
	}
	if data > len(l4) {
		return Packet{}, errors.New("TCP header longer than the packet")
	}
	if !p.UDP && data > 20 {
		p.TCPOptions = l4[20:data]
	}
	if !p.NoSum && l4sum(ip, l4) != 0 {
		return Packet{}, errors.New("wrong transport checksum")
	}
	addr := func(b, port []byte) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(b)), binary.BigEndian.Uint16(port))
	}
	p.Src, p.Dst = addr(ip[12:16], l4), addr(ip[16:20], l4[2:])
	p.Payload = string(l4[data:])
	return p, nil
}

// sum is the Internet checksum (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var s uint32
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			s += uint32(b[0])<<8 | uint32(b[1])
		}
		if len(b) == 1 {
			s += uint32(b[0]) << 8
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func l4sum(ip, l4 []byte) uint16 {
	pseudo := append([]byte{}, ip[12:20]...)
	pseudo = append(pseudo, 0, ip[9])
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(l4)))
	return sum(pseudo, l4)
}
