/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Translation where a process names its peer: no packet is ever rewritten. */
#pragma once

#include "choose.h"
#include "config.h"

/* Where a sock_addr program reads and writes the address: IPv4, or IPv4 mapped
 * into IPv6 (::ffff:a.b.c.d). */
static __always_inline bool mapped(struct bpf_sock_addr *ctx)
{
	return !ctx->user_ip6[0] && !ctx->user_ip6[1] && ctx->user_ip6[2] == bpf_htonl(0xffff);
}

static __always_inline struct addr socket_addr(struct bpf_sock_addr *ctx, bool v6)
{
	return addr_of4(v6 ? ctx->user_ip6[3] : ctx->user_ip4);
}

static __always_inline union client socket_client(struct bpf_sock_addr *ctx)
{
	union client c = { .netns = CLIENT_NETNS };

	c.cookie = bpf_get_netns_cookie(ctx);
	return c;
}

/* The verifier wants fields of the context at constant offsets from it; clang
 * likes to keep the address of a field that is used twice, and to merge the
 * stores of two branches. Volatile keeps each access where it is written, the
 * barrier keeps the address from being shared. */
static __always_inline void socket_set(struct bpf_sock_addr *ctx, bool v6, const struct addr *addr, __be16 port)
{
	volatile struct bpf_sock_addr *c;
	__be32 to = addr4(addr);

	barrier_var(ctx);
	c = ctx;
	if (v6)
		c->user_ip6[3] = to;
	else
		c->user_ip4 = to;
	c->user_port = port;
}

/* 127.0.0.0/8, and 0.0.0.0, which connect takes for it. */
static __always_inline bool loopback(const struct addr *addr)
{
	return !addr4(addr) || (bpf_ntohl(addr4(addr)) >> 24) == 127;
}

static __always_inline struct frontend *socket_frontend(struct bpf_sock_addr *ctx, const struct addr *addr, __be16 port)
{
	const struct addr any = addr_of4(0);
	__u8 proto = ctx->protocol;
	struct frontend *f;

	if (loopback(addr)) {
		if (bpf_get_netns_cookie(ctx) != node_netns)
			return NULL;
	} else {
		f = frontend_at(addr, port, proto, SCOPE_CLUSTER);
		if (f)
			return f;
		if (!is_node_addr(addr))
			return NULL;
	}
	if (addr4(addr)) {
		f = frontend_at(addr, port, proto, SCOPE_CLUSTER);
		if (f)
			return f;
	}
	return frontend_at(&any, port, proto, SCOPE_CLUSTER);
}

static __always_inline int socket_refuse(__u32 why)
{
	count(why);
	if (have_set_retval)
		bpf_set_retval(-ECONNREFUSED);
	return 0;
}

#define MAX_CGROUP_DEPTH 16

/* Whether the process is the node's: one in its own network namespace, or of a
 * pod. Others on the machine (containers of something else, another cluster in
 * a network namespace of its own) may have the same range for something. */
static __always_inline bool of_the_node(struct bpf_sock_addr *ctx)
{
	if (!pods_cgroup || bpf_get_netns_cookie(ctx) == node_netns)
		return true;
	if (!have_ancestor_cgroup)
		return false;
	for (int level = 0; level < MAX_CGROUP_DEPTH; level++) {
		__u64 id = bpf_get_current_ancestor_cgroup_id(level);

		if (!id)
			return false;
		if (id == pods_cgroup)
			return true;
	}
	return false;
}

/* An address that no frontend has. Only TCP and UDP are refused: they are what
 * could have been served. */
static __always_inline int socket_unknown(struct bpf_sock_addr *ctx, const struct addr *addr)
{
	__u32 proto = ctx->protocol;

	if ((proto != IPPROTO_TCP && proto != IPPROTO_UDP) || loopback(addr) || !unserved(addr) || !of_the_node(ctx))
		return 1;
	return socket_refuse(COUNT_SOCKET_UNSERVED);
}

/* The same for IPv6 proper, in which nothing is served yet. */
static __always_inline int socket_unknown6(struct bpf_sock_addr *ctx)
{
	struct addr addr = { { ctx->user_ip6[0], ctx->user_ip6[1], ctx->user_ip6[2], ctx->user_ip6[3] } };
	__u32 proto = ctx->protocol;

	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return 1;
	if (!in_service_range(&addr) || !of_the_node(ctx))
		return 1;
	return socket_refuse(COUNT_SOCKET_UNSERVED);
}

/* Whether a UDP socket names an address and port that are served by TCP. To
 * connect it sends nothing, and is how programs ask which of their own addresses
 * leads to a Service: they would be told that there is no such Service. */
static __always_inline bool asks_the_way(struct bpf_sock_addr *ctx, const struct addr *addr, __be16 port)
{
	return ctx->protocol == IPPROTO_UDP && !loopback(addr) && frontend_at(addr, port, IPPROTO_TCP, SCOPE_CLUSTER);
}

static __always_inline int socket_connect(struct bpf_sock_addr *ctx, bool v6)
{
	struct addr addr = socket_addr(ctx, v6);
	__be16 port = ctx->user_port;
	struct frontend *f = socket_frontend(ctx, &addr, port);
	union client client;
	struct choice c = {};
	struct peer p = {}, *old;

	if (!f)
		return asks_the_way(ctx, &addr, port) ? 1 : socket_unknown(ctx, &addr);
	if (f->flags & FRONTEND_FOREIGN)
		return 1;
	client = socket_client(ctx);
	if (!choose(f, bpf_get_prandom_u32(), false, &client, &c))
		return socket_refuse(COUNT_SOCKET_REFUSED);
	p.addr = addr;
	p.port = port;
	p.backend_addr = c.backend.addr;
	p.backend_port = c.backend.port;
	p.backend = c.id;
	p.proto = ctx->protocol;
	if (ctx->sk) {
		old = bpf_sk_storage_get(&peers, ctx->sk, &p, BPF_SK_STORAGE_GET_F_CREATE);
		if (old)
			*old = p; /* a socket may connect again */
	}
	socket_set(ctx, v6, &c.backend.addr, c.backend.port);
	count(COUNT_SOCKET_TRANSLATED);
	return 1;
}

/* One unconnected socket keeps its backend while that is there, as conntrack
 * would: a client that sends twice means the same server. */
static __always_inline int socket_send(struct bpf_sock_addr *ctx, bool v6)
{
	struct datagram_key k = { .cookie = bpf_get_socket_cookie(ctx), .addr = socket_addr(ctx, v6), .port = ctx->user_port };
	struct datagram_key back = { .cookie = k.cookie, .reply = 1 };
	struct datagram d = {}, r = {}, *known;
	struct frontend *f = socket_frontend(ctx, &k.addr, k.port);
	union client client;
	struct choice c = {};

	if (!f)
		return socket_unknown(ctx, &k.addr);
	if (f->flags & FRONTEND_FOREIGN)
		return 1;
	known = bpf_map_lookup_elem(&datagrams, &k);
	if (!known || !choose_id(known->backend, &c)) {
		client = socket_client(ctx);
		if (!choose(f, bpf_get_prandom_u32(), false, &client, &c))
			return socket_refuse(COUNT_SOCKET_REFUSED);
		d.addr = c.backend.addr;
		d.port = c.backend.port;
		d.backend = c.id;
		bpf_map_update_elem(&datagrams, &k, &d, BPF_ANY);
		count(COUNT_SOCKET_TRANSLATED);
	}
	back.addr = c.backend.addr;
	back.port = c.backend.port;
	known = bpf_map_lookup_elem(&datagrams, &back);
	if (!known || !addr_equal(&known->addr, &k.addr) || known->port != k.port) {
		r.addr = k.addr;
		r.port = k.port;
		r.backend = c.id;
		if (bpf_map_update_elem(&datagrams, &back, &r, BPF_ANY))
			return 0; /* an answer from a stranger's address would be refused anyway */
	}
	socket_set(ctx, v6, &c.backend.addr, c.backend.port);
	return 1;
}

/* The peer that a connected socket believes to have. The comparison makes a
 * stale entry harmless after the socket connected elsewhere. */
static __always_inline bool socket_peer(struct bpf_sock_addr *ctx, bool v6)
{
	struct peer *p = ctx->sk ? bpf_sk_storage_get(&peers, ctx->sk, 0, 0) : NULL;
	struct addr addr = socket_addr(ctx, v6);

	if (!p || !addr_equal(&p->backend_addr, &addr) || p->backend_port != (__be16)ctx->user_port)
		return false;
	socket_set(ctx, v6, &p->addr, p->port);
	return true;
}

static __always_inline int socket_receive(struct bpf_sock_addr *ctx, bool v6)
{
	struct datagram_key k = { .reply = 1 };
	struct datagram *d;

	if (socket_peer(ctx, v6))
		return 1;
	k.cookie = bpf_get_socket_cookie(ctx);
	k.addr = socket_addr(ctx, v6);
	k.port = ctx->user_port;
	d = bpf_map_lookup_elem(&datagrams, &k);
	if (d)
		socket_set(ctx, v6, &d->addr, d->port);
	return 1;
}
