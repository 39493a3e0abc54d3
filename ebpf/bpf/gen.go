// Package bpf holds the programs of the load balancer: their C sources (src)
// and what bpf2go makes of them, which is committed so that a build needs no
// compiler but Go's. It decides nothing and loads nothing; ebpf/lb does.
//
// # What is translated
//
// Sockets: TCP and UDP over IPv4, and IPv4 mapped into IPv6. Packets: TCP and
// UDP over IPv4 on Ethernet devices, with or without IP options. Fragments are
// passed on untouched, because only the first carries ports: services that are
// reached from outside want a path MTU that holds. ICMP is passed on untouched
// too, so a router's "fragmentation needed" about a translated flow is lost;
// pods have the MTU of the uplink for that reason. SCTP is not translated.
package bpf

//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -cc clang -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu" -type addr -type frontend_key -type frontend -type range_key -type slot_key -type backend -type maglev_table -type affinity_key -type affinity -type peer -type datagram_key -type datagram -type flow -type nat -type device -type scope -type frontend_flag -type backend_flag -type device_kind -type nat_flag -type counter LB src/lb.bpf.c
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -cc clang -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu" -no-global-types -type held Sockets src/sockets.bpf.c
//go:generate go run github.com/cilium/ebpf/cmd/bpf2go -target bpfel -cc clang -cflags "-O2 -g -Wall -Wextra -Werror -mcpu=v3 -I/usr/include/x86_64-linux-gnu" -no-global-types Takeover src/takeover.bpf.c
