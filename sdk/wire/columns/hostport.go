package columns

import (
	"cmp"
	"slices"
	"strings"
)

// HostPort is a port of the node's that a pod takes for itself, as in its
// spec: IP "" and "0.0.0.0" are all addresses, Protocol "" is TCP.
// RATIONALE.md: "Why are host ports a column of set numbers?"
type HostPort struct {
	IP       string `json:"hostIP,omitempty"`
	Protocol string `json:"protocol,omitempty"`
	Port     int32  `json:"hostPort"`
}

// everywhere stands for all addresses of a node.
const everywhere = "0.0.0.0"

// Overlaps tells whether two pods cannot have the ports on one node: same
// port, same protocol, and same address or one of them on all.
func (p HostPort) Overlaps(o HostPort) bool {
	if p.Port != o.Port {
		return false
	}
	p, o = p.normal(), o.normal()
	return p.Protocol == o.Protocol && (p.IP == o.IP || p.IP == everywhere || o.IP == everywhere)
}

func (p HostPort) normal() HostPort {
	if p.IP == "" {
		p.IP = everywhere
	}
	if p.Protocol == "" {
		p.Protocol = "TCP"
	}
	return p
}

func (p HostPort) compare(o HostPort) int {
	return cmp.Or(cmp.Compare(p.Port, o.Port), strings.Compare(p.Protocol, o.Protocol), strings.Compare(p.IP, o.IP))
}

// addPorts counts ports in a sorted list, with sign 1, or takes them off, with
// -1. A port that several pods have is in it several times: it is free when
// the last of them is gone.
func addPorts(list, ports []HostPort, sign int64) []HostPort {
	for _, p := range ports {
		p = p.normal()
		at, found := slices.BinarySearchFunc(list, p, HostPort.compare)
		switch {
		case sign > 0:
			list = slices.Insert(list, at, p)
		case found:
			list = slices.Delete(list, at, at+1)
		}
	}
	return list
}

// ports interns the distinct ports of a sorted list.
func (t *Table) ports(list []HostPort) uint32 {
	var refs []PortRef
	var key []uint32
	for i, p := range list {
		if i > 0 && p == list[i-1] {
			continue
		}
		r := PortRef{Port: uint32(p.Port), IP: t.id(p.IP), Protocol: t.id(p.Protocol)}
		refs = append(refs, r)
		key = append(key, r.Port, r.IP, r.Protocol)
	}
	return t.portSets.add(bytesKey(key...), refs)
}
