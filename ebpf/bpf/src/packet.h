/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Reading and rewriting of IPv4 packets on Ethernet devices. */
#pragma once

#include "addr.h"

struct packet {
	struct flow flow;
	__u32 l4; /* offset of the transport header */
	__u8 syn; /* opens a connection: SYN without ACK; always for UDP */
	__u8 end; /* FIN or RST */
};

#define IP_OFF ETH_HLEN
#define IP_FRAGMENT 0x3fff /* more fragments, or an offset */

/* False for everything that is passed on untouched: other protocols, ICMP, and
 * fragments, whose ports only the first one carries. */
static __always_inline bool packet_read(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr ip;
	__be16 ports[2];

	if (skb->protocol != bpf_htons(ETH_P_IP) || bpf_skb_load_bytes(skb, IP_OFF, &ip, sizeof(ip)))
		return false;
	if (ip.version != 4 || ip.ihl < 5 || (ip.frag_off & bpf_htons(IP_FRAGMENT)))
		return false;
	p->l4 = IP_OFF + ip.ihl * 4;
	if (ip.protocol == IPPROTO_TCP) {
		__u8 flags;

		if (bpf_skb_load_bytes(skb, p->l4 + 13, &flags, 1))
			return false;
		p->syn = (flags & 0x12) == 0x02;
		p->end = !!(flags & 0x05);
	} else if (ip.protocol == IPPROTO_UDP) {
		__be16 sum;

		if (bpf_skb_load_bytes(skb, p->l4 + offsetof(struct udphdr, check), &sum, sizeof(sum)))
			return false;
		p->syn = 1;
	} else {
		return false;
	}
	if (bpf_skb_load_bytes(skb, p->l4, ports, sizeof(ports)))
		return false;
	p->flow.saddr = addr_of4(ip.saddr);
	p->flow.daddr = addr_of4(ip.daddr);
	p->flow.proto = ip.protocol;
	p->flow.sport = ports[0];
	p->flow.dport = ports[1];
	return true;
}

static __always_inline void packet_set_addr(struct __sk_buff *skb, __u32 sum, __u64 flags, __u32 off, __be32 from, __be32 to)
{
	if (from == to)
		return;
	bpf_l4_csum_replace(skb, sum, from, to, flags | BPF_F_PSEUDO_HDR | sizeof(to));
	bpf_l3_csum_replace(skb, IP_OFF + offsetof(struct iphdr, check), from, to, sizeof(to));
	bpf_skb_store_bytes(skb, IP_OFF + off, &to, sizeof(to), 0);
}

static __always_inline void packet_set_port(struct __sk_buff *skb, __u32 sum, __u64 flags, __u32 off, __be16 from, __be16 to)
{
	if (from == to)
		return;
	bpf_l4_csum_replace(skb, sum, from, to, flags | sizeof(to));
	bpf_skb_store_bytes(skb, off, &to, sizeof(to), 0);
}

static __always_inline void packet_rewrite(struct __sk_buff *skb, const struct packet *p, const struct nat *n)
{
	/* A UDP checksum of 0 means none, and stays so. */
	bool udp = p->flow.proto == IPPROTO_UDP;
	__u64 flags = udp ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 sum = p->l4 + (udp ? offsetof(struct udphdr, check) : offsetof(struct tcphdr, check));

	packet_set_addr(skb, sum, flags, offsetof(struct iphdr, saddr), addr4(&p->flow.saddr), addr4(&n->saddr));
	packet_set_addr(skb, sum, flags, offsetof(struct iphdr, daddr), addr4(&p->flow.daddr), addr4(&n->daddr));
	packet_set_port(skb, sum, flags, p->l4, p->flow.sport, n->sport);
	packet_set_port(skb, sum, flags, p->l4 + 2, p->flow.dport, n->dport);
}

/* What a router does to a packet that it passes on; false when it is used up. */
static __always_inline bool packet_age(struct __sk_buff *skb)
{
	__u8 w[2]; /* time to live, protocol: one word of the checksum */
	__be16 from, to;

	if (bpf_skb_load_bytes(skb, IP_OFF + offsetof(struct iphdr, ttl), w, sizeof(w)) || w[0] <= 1)
		return false;
	__builtin_memcpy(&from, w, sizeof(from));
	w[0]--;
	__builtin_memcpy(&to, w, sizeof(to));
	bpf_l3_csum_replace(skb, IP_OFF + offsetof(struct iphdr, check), from, to, sizeof(to));
	return !bpf_skb_store_bytes(skb, IP_OFF + offsetof(struct iphdr, ttl), w, 1, 0);
}

/* Replaces one 32-bit word of the TCP header. Word by word, because only the
 * helper knows whether the checksum is there or left to the device. */
static __always_inline void packet_set_word(struct __sk_buff *skb, const struct packet *p, __u32 off, __be32 to)
{
	__be32 from;

	if (bpf_skb_load_bytes(skb, p->l4 + off, &from, sizeof(from)) || from == to)
		return;
	bpf_l4_csum_replace(skb, p->l4 + offsetof(struct tcphdr, check), from, to, sizeof(to));
	bpf_skb_store_bytes(skb, p->l4 + off, &to, sizeof(to), 0);
}

#define TCP_NOPS bpf_htonl(0x01010101)

/* Turns a SYN into the RST that answers it, addressed back to its sender. */
static __always_inline bool packet_reset(struct __sk_buff *skb, const struct packet *p)
{
	__be32 addrs[2] = { addr4(&p->flow.daddr), addr4(&p->flow.saddr) };
	__be16 ports[2] = { p->flow.dport, p->flow.sport };
	__u8 mac[12], swapped[12];
	__be16 ttl[2]; /* time to live and protocol, from and to */
	__be32 seq, head;

	if (bpf_skb_load_bytes(skb, 0, mac, sizeof(mac)) ||
	    bpf_skb_load_bytes(skb, p->l4 + offsetof(struct tcphdr, seq), &seq, sizeof(seq)) ||
	    bpf_skb_load_bytes(skb, p->l4 + 12, &head, sizeof(head)) ||
	    bpf_skb_load_bytes(skb, IP_OFF + offsetof(struct iphdr, ttl), &ttl[0], sizeof(ttl[0])))
		return false;
	/* Swapped addresses and ports have the sum of before. */
	__builtin_memcpy(swapped, mac + 6, 6);
	__builtin_memcpy(swapped + 6, mac, 6);
	ttl[1] = bpf_htons(64 << 8 | IPPROTO_TCP);
	if (ttl[0] != ttl[1])
		bpf_l3_csum_replace(skb, IP_OFF + offsetof(struct iphdr, check), ttl[0], ttl[1], sizeof(ttl[1]));
	if (bpf_skb_store_bytes(skb, 0, swapped, sizeof(swapped), 0) ||
	    bpf_skb_store_bytes(skb, IP_OFF + offsetof(struct iphdr, ttl), &ttl[1], sizeof(ttl[1]), 0) ||
	    bpf_skb_store_bytes(skb, IP_OFF + offsetof(struct iphdr, saddr), addrs, sizeof(addrs), 0) ||
	    bpf_skb_store_bytes(skb, p->l4, ports, sizeof(ports), 0))
		return false;
	packet_set_word(skb, p, offsetof(struct tcphdr, seq), 0);
	packet_set_word(skb, p, offsetof(struct tcphdr, ack_seq), bpf_htonl(bpf_ntohl(seq) + 1));
	/* Header length as it was, RST and ACK, no window. */
	packet_set_word(skb, p, 12, (head & bpf_htonl(0xf0000000)) | bpf_htonl(0x00140000));
	for (__u32 off = 20; off < 60; off += 4) {
		if (off < (bpf_ntohl(head) >> 28) * 4)
			packet_set_word(skb, p, off, TCP_NOPS);
	}
	return true;
}
