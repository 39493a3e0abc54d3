/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What layout 1 kept with sockets; ebpf/lb/layout1 has the rest, which user
 * space can read. */
#pragma once

struct peer_v1 {
	__be32 addr;
	__be32 backend_addr;
	__be16 port;
	__be16 backend_port;
	__u32 backend;
	__u8 proto;
	__u8 zero[3];
};
