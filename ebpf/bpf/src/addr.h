/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* IPv4 in the addresses of the maps. */
#pragma once

#include "types.h"

static __always_inline struct addr addr_of4(__be32 v4)
{
	struct addr a = { { 0, 0, bpf_htonl(0xffff), v4 } };

	return a;
}

/* The IPv4 address that is mapped into a. */
static __always_inline __be32 addr4(const struct addr *a)
{
	return a->w[3];
}

/* A word of all of it; of mapped IPv4 the address itself, so that every layout
 * of the maps hashes a flow alike. */
static __always_inline __u32 addr_fold(const struct addr *a)
{
	return a->w[0] ^ a->w[1] ^ a->w[2] ^ bpf_htonl(0xffff) ^ a->w[3];
}

static __always_inline bool addr_equal(const struct addr *a, const struct addr *b)
{
	return a->w[0] == b->w[0] && a->w[1] == b->w[1] && a->w[2] == b->w[2] && a->w[3] == b->w[3];
}
