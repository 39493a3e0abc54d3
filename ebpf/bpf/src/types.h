/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Keys and values of the maps: the contract with ebpf/lb. Addresses and ports
 * are in network byte order. Every hole is a named, zeroed field, because keys
 * are compared as bytes. */
#pragma once

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

/* Address 0.0.0.0 stands for every address of this node. */
struct frontend_key {
	__be32 addr;
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

/* A range of virtual addresses, as IPv6: IPv4 is mapped (::ffff:a.b.c.d). */
struct range_key {
	__u32 bits; /* of the prefix, in host byte order */
	__be32 addr[4];
};

struct slot_key {
	__u32 service;
	__u32 slot;
};

/* A backend belongs to one service, so that its being there means that it may
 * still be chosen for that service. */
struct backend {
	__be32 addr;
	__be16 port;
	__u8 proto;
	__u8 flags;
};

#define MAGLEV_SIZE 1021

struct maglev_table {
	__u32 backend[MAGLEV_SIZE];
};

struct affinity_key {
	__u64 client; /* cookie of a network namespace, or CLIENT_ADDR | address */
	__u32 service;
	__u32 zero;
};

#define CLIENT_ADDR (1ull << 63)

struct affinity {
	__u64 last;
	__u32 backend;
	__u32 zero;
};

/* What a connected socket asked for, and what it got. */
struct peer {
	__be32 addr;
	__be32 backend_addr;
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
	__be32 addr;
	__be16 port;
	__u16 reply;
};

struct datagram {
	__be32 addr;
	__be16 port;
	__u16 zero;
	__u32 backend;
};

struct flow {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 zero[3];
};

/* The whole rewrite of one direction of one flow. */
struct nat {
	__be32 saddr;
	__be32 daddr;
	__be16 sport;
	__be16 dport;
	__u32 backend; /* 0 in replies */
	__u32 flags;
	__u32 zero;
	__u64 seen;
};

struct device {
	__be32 addr; /* source of rewritten packets */
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
