//go:build ignore
/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* The programs of the load balancer. What they do is in socket.h and nat.h. */

#include <stdbool.h>
#include <stddef.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <asm/errno.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "nat.h"
#include "socket.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

SEC("cgroup/connect4")
int lb_connect4(struct bpf_sock_addr *ctx)
{
	return socket_connect(ctx, false);
}

SEC("cgroup/connect6")
int lb_connect6(struct bpf_sock_addr *ctx)
{
	return mapped(ctx) ? socket_connect(ctx, true) : socket_unknown6(ctx);
}

SEC("cgroup/sendmsg4")
int lb_sendmsg4(struct bpf_sock_addr *ctx)
{
	return socket_send(ctx, false);
}

SEC("cgroup/sendmsg6")
int lb_sendmsg6(struct bpf_sock_addr *ctx)
{
	return mapped(ctx) ? socket_send(ctx, true) : socket_unknown6(ctx);
}

SEC("cgroup/recvmsg4")
int lb_recvmsg4(struct bpf_sock_addr *ctx)
{
	return socket_receive(ctx, false);
}

SEC("cgroup/recvmsg6")
int lb_recvmsg6(struct bpf_sock_addr *ctx)
{
	return mapped(ctx) ? socket_receive(ctx, true) : 1;
}

SEC("cgroup/getpeername4")
int lb_getpeername4(struct bpf_sock_addr *ctx)
{
	socket_peer(ctx, false);
	return 1;
}

SEC("cgroup/getpeername6")
int lb_getpeername6(struct bpf_sock_addr *ctx)
{
	if (mapped(ctx))
		socket_peer(ctx, true);
	return 1;
}

SEC("tc")
int lb_ingress(struct __sk_buff *skb)
{
	return nat_ingress(skb);
}

SEC("tc")
int lb_egress(struct __sk_buff *skb)
{
	return nat_egress(skb);
}
