/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* What user space sets before the programs are loaded. Constants in .rodata
 * let the verifier drop the branches that a kernel cannot run. */
#pragma once

/* Cookie of the network namespace that owns the node's addresses: only a
 * process there means the node when it says 127.0.0.1. */
volatile const __u64 node_netns;

/* The cgroup of the node's pods, where the programs see other processes of the
 * machine, too; 0: whatever they see is the node's. */
volatile const __u64 pods_cgroup;

/* Whether bpf_get_current_ancestor_cgroup_id exists for these programs. */
volatile const __u8 have_ancestor_cgroup;

/* Whether bpf_set_retval exists; without it a refused connect says EPERM. */
volatile const __u8 have_set_retval;

/* Source ports for rewritten sources. Outside the kernel's ephemeral range, so
 * that a connection of the node itself never has the same five-tuple. */
volatile const __u16 snat_port_first = 61000;
volatile const __u16 snat_port_count = 4536;

/* Idle time after which a UDP flow chooses its backend anew. */
volatile const __u64 udp_idle_ns = 60ull * 1000 * 1000 * 1000;
