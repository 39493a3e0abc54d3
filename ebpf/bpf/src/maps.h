/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Sizes are defaults: ebpf/lb sets them before loading. Every map is pinned, so
 * that a restarted agent finds what it wrote. */
#pragma once

#include "addr.h"

#define HASH(name, ktype, vtype, max)                   \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_HASH);        \
		__uint(max_entries, max);               \
		__uint(map_flags, BPF_F_NO_PREALLOC);   \
		__uint(pinning, LIBBPF_PIN_BY_NAME);    \
		__type(key, ktype);                     \
		__type(value, vtype);                   \
	} name SEC(".maps")

#define LRU(name, ktype, vtype, max)                    \
	struct {                                        \
		__uint(type, BPF_MAP_TYPE_LRU_HASH);    \
		__uint(max_entries, max);               \
		__uint(pinning, LIBBPF_PIN_BY_NAME);    \
		__type(key, ktype);                     \
		__type(value, vtype);                   \
	} name SEC(".maps")

/* Written by user space. Backends first, then slots, then frontends; removed
 * in reverse: a reader that found a frontend finds the rest. */
HASH(frontends, struct frontend_key, struct frontend, 65536);
HASH(slots, struct slot_key, __u32, 262144);
HASH(backends, __u32, struct backend, 262144);
HASH(maglev, __u32, struct maglev_table, 4096);
HASH(node_addrs, struct addr, __u32, 512);
HASH(devices, __u32, struct device, 256);

/* Where an address without a frontend is nobody's: refused, since a packet to
 * it could only get lost. Longest prefix first. */
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 64);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, struct range_key);
	__type(value, __u32);
} service_ranges SEC(".maps");

/* Written here. */
LRU(affinities, struct affinity_key, struct affinity, 16384);
LRU(datagrams, struct datagram_key, struct datagram, 32768);
LRU(flows, struct flow, struct nat, 131072);

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, int);
	__type(value, struct peer);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_MAX);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(__u32 which)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &which);

	if (n)
		(*n)++;
}

static __always_inline bool is_node_addr(const struct addr *a)
{
	return bpf_map_lookup_elem(&node_addrs, a) != NULL;
}
