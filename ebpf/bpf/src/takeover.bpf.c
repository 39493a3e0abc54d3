//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Copies what layout 1 keeps with each socket, which user space cannot list.
 * In an object of its own: the kernel must have its own BTF for this one. */

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "addr.h"
#include "v1.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct sock;
struct bpf_iter_meta;
struct bpf_map;

struct bpf_iter__bpf_sk_storage_map {
	struct bpf_iter_meta *meta;
	struct bpf_map *map;
	struct sock *sk;
	void *value;
};
#pragma clang attribute pop

/* That of lb.bpf.c, put in its place by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct peer);
} peers SEC(".maps");

SEC("iter/bpf_sk_storage_map")
int lb_copy_peers(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct peer_v1 *old = ctx->value;
	struct sock *sk = ctx->sk;
	struct peer p = {};

	if (!sk || !old)
		return 0;
	p.addr = addr_of4(old->addr);
	p.backend_addr = addr_of4(old->backend_addr);
	p.port = old->port;
	p.backend_port = old->backend_port;
	p.backend = old->backend;
	p.proto = old->proto;
	/* Without effect on a socket that the new programs have seen. */
	bpf_sk_storage_get(&peers, sk, &p, BPF_SK_STORAGE_GET_F_CREATE);
	return 0;
}
