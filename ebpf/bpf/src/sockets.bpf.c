//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Finds connected UDP sockets whose backend is gone: a walk over the descriptors
 * of all processes, because a socket can only be connected anew by a descriptor.
 * In an object of its own: the kernel must have its own BTF for this one. */

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "addr.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

/* The parts of the kernel's structs that are read here; their places are
 * adjusted to the running kernel. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct seq_file;
struct file;

struct sock_common {
	__be32 skc_daddr;
	__be16 skc_dport;
	unsigned char skc_state;
};

struct sock {
	struct sock_common __sk_common;
};

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct upid {
	int nr;
};

struct pid {
	unsigned int level;
	struct upid numbers[1];
};

struct task_struct {
	struct task_struct *group_leader;
	struct pid *thread_pid;
};

struct socket {
	struct sock *sk;
};

struct bpf_iter__task_file {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
	__u32 fd;
	struct file *file;
};
#pragma clang attribute pop

/* Those of lb.bpf.c, put in their place by user space. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct peer);
} peers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 262144);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct backend);
} backends SEC(".maps");

/* The process' number in the PID namespace of whoever reads; 0: it has none. */
static __always_inline __u32 pid_for_reader(struct task_struct *task)
{
	struct task_struct *reader = bpf_get_current_task_btf();
	unsigned int level = BPF_CORE_READ(reader, thread_pid, level);
	struct pid *pid = BPF_CORE_READ(task, group_leader, thread_pid);
	__u32 nr = 0;

	if (!pid || BPF_CORE_READ(pid, level) < level)
		return 0;
	bpf_probe_read_kernel(&nr, sizeof(nr), (void *)pid + bpf_core_field_offset(struct pid, numbers) +
			      level * bpf_core_type_size(struct upid) + bpf_core_field_offset(struct upid, nr));
	return nr;
}

#define TCP_ESTABLISHED 1 /* UDP: connected */

/* Whether the socket has not gone elsewhere since; IPv4 mapped into IPv6 has
 * its address here, too. */
static __always_inline bool still_there(const struct sock *sk, const struct peer *p)
{
	return sk->__sk_common.skc_state == TCP_ESTABLISHED && sk->__sk_common.skc_daddr == addr4(&p->backend_addr) &&
	       sk->__sk_common.skc_dport == p->backend_port;
}

SEC("iter/task_file")
int lb_stray_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct held h = {};
	struct sock *sk;
	struct peer *p;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	p = bpf_sk_storage_get(&peers, sk, 0, 0);
	if (!p || p->proto != IPPROTO_UDP || !still_there(sk, p) || bpf_map_lookup_elem(&backends, &p->backend))
		return 0;
	h.pid = pid_for_reader(task);
	h.fd = ctx->fd;
	if (h.pid)
		bpf_seq_write(ctx->meta->seq, &h, sizeof(h));
	return 0;
}
