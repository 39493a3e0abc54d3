/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* From a frontend to one of its backends. */
#pragma once

#include "maps.h"

struct choice {
	__u32 id;
	struct backend backend;
};

static __always_inline bool choose_id(__u32 id, struct choice *c)
{
	struct backend *b = bpf_map_lookup_elem(&backends, &id);

	if (!b)
		return false;
	c->id = id;
	c->backend = *b;
	return true;
}

static __always_inline bool choose_slot(const struct frontend *f, __u32 slot, struct choice *c)
{
	struct slot_key k = { .service = f->service, .slot = slot };
	__u32 *id = bpf_map_lookup_elem(&slots, &k);

	return id && choose_id(*id, c);
}

/* The backend that this client had, if it is recent and still there. */
static __always_inline bool choose_again(const struct frontend *f, const struct affinity_key *k, __u64 now, struct choice *c)
{
	struct affinity *a = bpf_map_lookup_elem(&affinities, k);

	if (!a || now - a->last > f->affinity_seconds * 1000000000ull)
		return false;
	if (!choose_id(a->backend, c))
		return false;
	a->last = now;
	return true;
}

static __always_inline bool choose_maglev(const struct frontend *f, __u32 hash, struct choice *c)
{
	struct maglev_table *t = bpf_map_lookup_elem(&maglev, &f->service);
	__u32 i = hash % MAGLEV_SIZE;

	/* clang lowers the modulo to multiplications and then drops the bound that
	 * the verifier wants to see: hide the value, then check. */
	asm volatile("" : "+r"(i));
	return t && i < MAGLEV_SIZE && choose_id(t->backend[i], c);
}

/* A slot or backend may vanish between two lookups when a service shrinks; slot
 * 0 is the last to go. False: nothing to choose from. */
static __always_inline bool choose(const struct frontend *f, __u32 hash, bool by_hash, const union client *client, struct choice *c)
{
	struct affinity_key k = { .client = *client, .service = f->service };
	__u64 now = 0;
	bool found = false;

	if (!f->count)
		return false;
	if (f->flags & FRONTEND_AFFINITY) {
		now = bpf_ktime_get_ns();
		if (choose_again(f, &k, now, c))
			return true;
	}
	if (by_hash && (f->flags & FRONTEND_MAGLEV))
		found = choose_maglev(f, hash, c);
	if (!found)
		found = choose_slot(f, hash % f->count, c) || choose_slot(f, 0, c);
	if (found && (f->flags & FRONTEND_AFFINITY)) {
		struct affinity a = { .last = now, .backend = c->id };

		bpf_map_update_elem(&affinities, &k, &a, BPF_ANY);
	}
	return found;
}

static __always_inline struct frontend *frontend_at(const struct addr *addr, __be16 port, __u8 proto, __u8 scope)
{
	struct frontend_key k = { .addr = *addr, .port = port, .proto = proto, .scope = scope };

	return bpf_map_lookup_elem(&frontends, &k);
}

static __always_inline bool in_service_range(const struct addr *addr)
{
	struct range_key k = { .bits = 128, .addr = *addr };

	return bpf_map_lookup_elem(&service_ranges, &k) != NULL;
}

/* Whether nothing can be at this address: it is in a range of Services, nothing
 * serves it, and it is no address of the node either. */
static __always_inline bool unserved(const struct addr *addr)
{
	return in_service_range(addr) && !is_node_addr(addr);
}
