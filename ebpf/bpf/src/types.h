/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Keys and values of the maps: the contract with ebpf/lb. Addresses and ports
 * are in network byte order. Every hole is a named, zeroed field, because keys
 * are compared as bytes. What changes here needs a layout of its own
 * (RATIONALE.md: "Why does the data path have layouts with versions?"). */
#pragma once

/* IPv6; IPv4 is mapped (::ffff:a.b.c.d), so that one map serves both. */
struct addr {
	__be32 w[4];
};

enum scope {
	SCOPE_CLUSTER,  /* asked by sockets and pods of this node */
	SCOPE_EXTERNAL, /* asked first for packets from outside */
};

enum frontend_flag {
	FRONTEND_AFFINITY = 1 << 0,
	FRONTEND_MAGLEV = 1 << 1, /* packets choose by their five-tuple */
	FRONTEND_FOREIGN = 1 << 2, /* served by another proxy: passed on untouched */
};

enum backend_flag {
	BACKEND_LOCAL = 1 << 0, /* on this node: replies pass by us anyway */
};

enum device_kind {
	DEVICE_UPLINK, /* faces other machines */
	DEVICE_BRIDGE, /* faces the pods of this node */
};

enum nat_flag {
	NAT_EGRESS = 1 << 0,   /* applies to packets that leave by a device, else to those that come in */
	NAT_REDIRECT = 1 << 1, /* the stack would refuse the result: route it here */
	NAT_REPLY = 1 << 2,    /* backend to client */
	NAT_CLOSING = 1 << 3,  /* a FIN or RST went by */
};

/* Address 0.0.0.0 stands for every IPv4 address of this node. */
struct frontend_key {
	struct addr addr;
	__be16 port;
	__u8 proto;
	__u8 scope;
};

struct frontend {
	__u32 service; /* whose slots */
	__u16 count;   /* slots 0..count-1 are filled */
	__u16 flags;
	__u32 affinity_seconds;
};

/* A range of virtual addresses. */
struct range_key {
	__u32 bits; /* of the prefix, in host byte order */
	struct addr addr;
};

struct slot_key {
	__u32 service;
	__u32 slot;
};

/* A backend belongs to one service, so that its being there means that it may
 * still be chosen for that service. */
struct backend {
	struct addr addr;
	__be16 port;
	__u8 proto;
	__u8 flags;
};

#define MAGLEV_SIZE 1021

struct maglev_table {
	__u32 backend[MAGLEV_SIZE];
};

/* Who asks: an address, or a network namespace by its cookie. The latter begins
 * with CLIENT_NETNS, as no address that sends does. */
union client {
	struct addr addr;
	struct {
		__u64 netns;
		__u64 cookie;
	};
};

#define CLIENT_NETNS (~0ull)

struct affinity_key {
	union client client;
	__u32 service;
	__u32 zero;
};

struct affinity {
	__u64 last;
	__u32 backend;
	__u32 zero;
};

/* What a connected socket asked for, and what it got. */
struct peer {
	struct addr addr;
	struct addr backend_addr;
	__be16 port;
	__be16 backend_port;
	__u32 backend;
	__u8 proto;
	__u8 zero[3];
};

/* A descriptor of a process, for user space to look at. */
struct held {
	__u32 pid; /* as the reader's PID namespace has it */
	__u32 fd;
};

/* Unconnected UDP, both ways: the frontend's backend, the backend's frontend. */
struct datagram_key {
	__u64 cookie;
	struct addr addr;
	__be16 port;
	__u16 reply;
	__u32 zero;
};

struct datagram {
	struct addr addr;
	__be16 port;
	__u16 zero;
	__u32 backend;
};

struct flow {
	struct addr saddr;
	struct addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 zero[3];
};

/* The whole rewrite of one direction of one flow. */
struct nat {
	struct addr saddr;
	struct addr daddr;
	__be16 sport;
	__be16 dport;
	__u32 backend; /* 0 in replies */
	__u32 flags;
	__u32 zero;
	__u64 seen;
};

struct device {
	struct addr addr;  /* source of rewritten IPv4 packets */
	struct addr addr6; /* of IPv6 packets, none of which is rewritten yet */
	__u32 kind;
};

enum counter {
	COUNT_SOCKET_TRANSLATED,
	COUNT_SOCKET_REFUSED,
	COUNT_FLOW_NEW,
	COUNT_FLOW_REFUSED,
	COUNT_PACKET_TRANSLATED,
	COUNT_PACKET_REDIRECTED,
	COUNT_PACKET_NO_ROUTE,
	COUNT_NO_SOURCE_PORT,
	COUNT_SOCKET_UNSERVED,
	COUNT_PACKET_UNSERVED,
	COUNT_MAX,
};

/* Enums and structs that only maps use leave no trace in BTF, from which the Go
 * types are made, unless something points at them. */
#define EXPORT(kind, name) const kind name *const export_##name = 0
EXPORT(enum, scope);
EXPORT(enum, frontend_flag);
EXPORT(enum, backend_flag);
EXPORT(enum, device_kind);
EXPORT(enum, nat_flag);
EXPORT(enum, counter);
EXPORT(struct, maglev_table);
EXPORT(struct, range_key);
EXPORT(struct, held);
