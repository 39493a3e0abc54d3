/* SPDX-License-Identifier: GPL-2.0-only OR MIT */
/* Packets of flows that no socket hook saw: from other machines to a node port,
 * from pods whose sockets live in another kernel.
 *
 * A flow has two entries, one per direction, each with the whole rewrite.
 * Which device the client came by decides how a reply gets back to us:
 *
 *   uplink, backend on this node    keep the client's address; the reply leaves
 *                                   by the uplink and is rewritten there
 *   uplink, backend elsewhere       take our own address as source; the reply
 *                                   comes in by the uplink
 *   bridge, backend on the bridge   take the bridge's address as source, else
 *                                   the reply is switched past us
 *   bridge, backend elsewhere       keep the client's address; the reply leaves
 *                                   by the bridge and is rewritten there
 *
 * A packet that comes in and then has one of our own addresses as its source
 * would be refused by the stack as martian: those are routed here. */
#pragma once

#include "choose.h"
#include "config.h"
#include "packet.h"

static __always_inline __u32 flow_hash(const struct flow *f)
{
	__u32 h = addr_fold(&f->saddr) ^ (addr_fold(&f->daddr) * 0x9e3779b1u) ^ ((__u32)f->sport << 16 | f->dport) ^ f->proto;

	h ^= h >> 16;
	h *= 0x85ebca6bu;
	h ^= h >> 13;
	h *= 0xc2b2ae35u;
	return h ^ (h >> 16);
}

static __always_inline struct frontend *packet_frontend(const struct flow *f, const struct device *dev)
{
	const struct addr any = addr_of4(0);
	struct frontend *fe;

	if (dev->kind == DEVICE_UPLINK) {
		fe = frontend_at(&f->daddr, f->dport, f->proto, SCOPE_EXTERNAL);
		if (fe)
			return fe;
	}
	fe = frontend_at(&f->daddr, f->dport, f->proto, SCOPE_CLUSTER);
	if (fe || !is_node_addr(&f->daddr))
		return fe;
	if (dev->kind == DEVICE_UPLINK) {
		fe = frontend_at(&any, f->dport, f->proto, SCOPE_EXTERNAL);
		if (fe)
			return fe;
	}
	return frontend_at(&any, f->dport, f->proto, SCOPE_CLUSTER);
}

static __always_inline bool nat_expired(const struct nat *n, __u8 proto, __u64 now)
{
	return (n->flags & NAT_CLOSING) || (proto == IPPROTO_UDP && now - n->seen > udp_idle_ns);
}

/* Files the reply's entry under a source port that no other flow uses. */
static __always_inline bool nat_claim_port(struct flow *back, const struct nat *reply, __u32 hash)
{
	for (int i = 0; i < 24; i++) {
		__u32 n = snat_port_count ? hash % snat_port_count : 0;
		struct nat *other;

		back->dport = bpf_htons(snat_port_first + n);
		if (!bpf_map_update_elem(&flows, back, reply, BPF_NOEXIST))
			return true;
		other = bpf_map_lookup_elem(&flows, back);
		if (other && nat_expired(other, back->proto, reply->seen))
			return !bpf_map_update_elem(&flows, back, reply, BPF_ANY);
		hash = bpf_get_prandom_u32();
	}
	return false;
}

/* Chooses a backend and files both directions. */
static __always_inline bool nat_open(const struct packet *p, const struct device *dev, struct nat *n)
{
	const struct flow *f = &p->flow;
	struct frontend *fe = packet_frontend(f, dev);
	__u32 hash = flow_hash(f);
	struct nat reply = {};
	struct choice c = {};
	struct flow back = {};
	union client client = { .addr = f->saddr };
	bool here, own;

	if (!fe || (fe->flags & FRONTEND_FOREIGN))
		return false;
	/* Without a backend the packet goes on to the stack, which answers it as
	 * it answers any port on which nobody listens. */
	if (!choose(fe, fe->flags & FRONTEND_MAGLEV ? hash : bpf_get_prandom_u32(), true, &client, &c)) {
		count(COUNT_FLOW_REFUSED);
		return false;
	}
	own = is_node_addr(&c.backend.addr);
	here = own || (c.backend.flags & BACKEND_LOCAL);

	n->saddr = f->saddr;
	n->sport = f->sport;
	n->daddr = c.backend.addr;
	n->dport = c.backend.port;
	n->backend = c.id;
	n->flags = 0;
	n->seen = bpf_ktime_get_ns();

	reply.saddr = f->daddr;
	reply.sport = f->dport;
	reply.daddr = f->saddr;
	reply.dport = f->sport;
	reply.flags = NAT_REPLY;
	reply.seen = n->seen;

	back.saddr = n->daddr;
	back.sport = n->dport;
	back.daddr = n->saddr;
	back.dport = n->sport;
	back.proto = f->proto;

	/* The node's own processes are reached through the stack and answer through
	 * it, whichever way the client came. */
	if (own || here == (dev->kind == DEVICE_UPLINK)) {
		reply.flags |= NAT_EGRESS;
		bpf_map_update_elem(&flows, &back, &reply, BPF_ANY);
	} else {
		n->saddr = back.daddr = dev->addr;
		n->flags = NAT_REDIRECT;
		reply.flags |= NAT_REDIRECT;
		if (!nat_claim_port(&back, &reply, hash)) {
			count(COUNT_NO_SOURCE_PORT);
			return false;
		}
		n->sport = back.dport;
	}
	bpf_map_update_elem(&flows, f, n, BPF_ANY);
	count(COUNT_FLOW_NEW);
	return true;
}

/* A FIN or RST of the backend closes the client's direction too. */
static __always_inline void nat_close(struct nat *n, __u8 proto)
{
	struct flow other = { .saddr = n->daddr, .daddr = n->saddr, .sport = n->dport, .dport = n->sport, .proto = proto };
	struct nat *o = bpf_map_lookup_elem(&flows, &other);

	n->flags |= NAT_CLOSING;
	if (o)
		o->flags |= NAT_CLOSING;
}

/* Whether the client's entry still holds. A retransmitted SYN stays with its
 * backend; a SYN after the end, or to a backend that is gone, chooses anew. */
static __always_inline bool nat_holds(const struct nat *n, const struct packet *p, __u64 now)
{
	if ((n->flags & NAT_REPLY) || !p->syn)
		return true;
	if (nat_expired(n, p->flow.proto, now))
		return false;
	return bpf_map_lookup_elem(&backends, &n->backend) != NULL;
}

static __always_inline bool nat_find(const struct packet *p, bool egress, struct nat *out)
{
	struct nat *n = bpf_map_lookup_elem(&flows, &p->flow);
	__u64 now;

	if (!n || !!(n->flags & NAT_EGRESS) != egress)
		return false;
	now = bpf_ktime_get_ns();
	if (!nat_holds(n, p, now))
		return false;
	if (p->end)
		nat_close(n, p->flow.proto);
	if (now - n->seen > 1000000000ull)
		n->seen = now;
	*out = *n;
	return true;
}

static __always_inline int nat_redirect(struct __sk_buff *skb, const struct packet *p, const struct nat *n)
{
	struct bpf_fib_lookup fib = {
		.family = 2 /* AF_INET */,
		.l4_protocol = p->flow.proto,
		.sport = n->sport,
		.dport = n->dport,
		.ipv4_src = addr4(&n->saddr),
		.ipv4_dst = addr4(&n->daddr),
		.ifindex = skb->ingress_ifindex,
	};
	struct bpf_redir_neigh hop = { .nh_family = 2 };
	long rc = bpf_fib_lookup(skb, &fib, sizeof(fib), 0);

	if (rc == BPF_FIB_LKUP_RET_NOT_FWDED)
		return TC_ACT_UNSPEC; /* to this node itself */
	if ((rc != BPF_FIB_LKUP_RET_SUCCESS && rc != BPF_FIB_LKUP_RET_NO_NEIGH) || !packet_age(skb)) {
		count(COUNT_PACKET_NO_ROUTE);
		return TC_ACT_SHOT;
	}
	count(COUNT_PACKET_REDIRECTED);
	hop.ipv4_nh = fib.ipv4_dst;
	return bpf_redirect_neigh(fib.ifindex, &hop, sizeof(hop), 0);
}

/* A SYN that nothing took, to an address that only a Service could have: the
 * answer is made here, because the stack's (the guard route's ICMP error) comes
 * as often as the kernel's limit lets it. A datagram gets that one: its sender
 * must cope with silence anyway. */
static __always_inline int nat_unserved(struct __sk_buff *skb, const struct packet *p, const struct device *dev)
{
	struct frontend *fe;

	if (p->flow.proto != IPPROTO_TCP || !unserved(&p->flow.daddr))
		return TC_ACT_UNSPEC;
	fe = packet_frontend(&p->flow, dev);
	if (fe && (fe->count || (fe->flags & FRONTEND_FOREIGN)))
		return TC_ACT_UNSPEC;
	count(COUNT_PACKET_UNSERVED);
	if (!packet_reset(skb, p))
		return TC_ACT_SHOT;
	return bpf_redirect(skb->ifindex, 0);
}

static __always_inline int nat_ingress(struct __sk_buff *skb)
{
	struct packet p = {};
	struct nat n = {};
	struct device *dev;
	__u32 ifindex = skb->ifindex;

	if (!packet_read(skb, &p))
		return TC_ACT_UNSPEC;
	if (!nat_find(&p, false, &n)) {
		if (!p.syn)
			return TC_ACT_UNSPEC;
		dev = bpf_map_lookup_elem(&devices, &ifindex);
		if (!dev)
			return TC_ACT_UNSPEC;
		if (!nat_open(&p, dev, &n))
			return nat_unserved(skb, &p, dev);
	}
	packet_rewrite(skb, &p, &n);
	count(COUNT_PACKET_TRANSLATED);
	return n.flags & NAT_REDIRECT ? nat_redirect(skb, &p, &n) : TC_ACT_UNSPEC;
}

static __always_inline int nat_egress(struct __sk_buff *skb)
{
	struct packet p = {};
	struct nat n = {};

	if (!packet_read(skb, &p) || !nat_find(&p, true, &n))
		return TC_ACT_UNSPEC;
	packet_rewrite(skb, &p, &n);
	count(COUNT_PACKET_TRANSLATED);
	return TC_ACT_UNSPEC;
}
