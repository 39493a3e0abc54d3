package dns

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/miekg/dns"
)

// maxAliases bounds how many CNAMEs inside the cluster are followed.
const maxAliases = 8

// maxUDP is the largest UDP answer, whatever the client offers.
const maxUDP = 4096

// ServeDNS answers one question; it is called by the DNS library.
func (s *Server) ServeDNS(w dns.ResponseWriter, ask *dns.Msg) {
	start := time.Now()
	select {
	case s.queries <- struct{}{}:
		defer func() { <-s.queries }()
	default:
		s.metrics.answered.WithLabelValues("limit", "REFUSED").Inc()
		m := new(dns.Msg)
		_ = w.WriteMsg(m.SetRcode(ask, dns.RcodeRefused))
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.cfg.Timeout*time.Duration(len(s.cfg.Upstreams)+1))
	defer cancel()
	m, kind := s.respond(ctx, ask)
	if m == nil {
		return
	}
	_, udp := w.RemoteAddr().(*net.UDPAddr)
	fit(m, ask, udp)
	if err := w.WriteMsg(m); err != nil {
		s.cfg.Log.Debug("write answer", "error", err)
	}
	s.metrics.answered.WithLabelValues(kind, dns.RcodeToString[m.Rcode]).Inc()
	s.metrics.duration.WithLabelValues(kind).Observe(time.Since(start).Seconds())
}

// fit gives the answer the client's EDNS terms and size.
func fit(m, ask *dns.Msg, udp bool) {
	size := dns.MaxMsgSize
	if udp {
		size = dns.MinMsgSize
	}
	if opt := ask.IsEdns0(); opt != nil {
		if udp {
			size = min(max(int(opt.UDPSize()), dns.MinMsgSize), maxUDP)
		}
		if m.IsEdns0() == nil {
			m.SetEdns0(maxUDP, opt.Do())
		}
	}
	m.Compress = true
	m.Truncate(size)
}

// respond decides what becomes of a question; nil: nothing at all.
func (s *Server) respond(ctx context.Context, ask *dns.Msg) (m *dns.Msg, kind string) {
	m = new(dns.Msg)
	if ask.Response {
		return nil, ""
	}
	m.SetReply(ask)
	m.RecursionAvailable = len(s.cfg.Upstreams) > 0
	fail := func(rcode int) (*dns.Msg, string) {
		m.Rcode = rcode
		return m, "malformed"
	}
	switch {
	case ask.Opcode != dns.OpcodeQuery:
		return fail(dns.RcodeNotImplemented)
	case len(ask.Question) != 1:
		return fail(dns.RcodeFormatError)
	}
	if opt := ask.IsEdns0(); opt != nil && opt.Version() != 0 {
		m.SetEdns0(maxUDP, false)
		return fail(dns.RcodeBadVers)
	}
	q := ask.Question[0]
	switch {
	case q.Qclass != dns.ClassINET:
		return fail(dns.RcodeRefused)
	case q.Qtype == dns.TypeANY, q.Qtype == dns.TypeAXFR, q.Qtype == dns.TypeIXFR, q.Qtype == dns.TypeMAILA, q.Qtype == dns.TypeMAILB:
		return fail(dns.RcodeNotImplemented)
	}
	name := dns.CanonicalName(q.Name)
	if s.zone.has(name) {
		s.cluster(ctx, m, ask, q.Name)
		return m, "cluster"
	}
	if a, ours := s.reverse.find(name); ours {
		s.addResult(m, s.reverse.answer(q.Name, q.Qtype, a), s.reverse.apex(a))
		return m, "reverse"
	}
	return s.forward(ctx, m, ask)
}

// cluster answers a name of the cluster's domain, following aliases.
func (s *Server) cluster(ctx context.Context, m, ask *dns.Msg, name string) {
	select {
	case <-s.cfg.Source.Synced():
	default:
		m.Rcode = dns.RcodeServerFailure // a name that we do not know yet is not one that does not exist
		return
	}
	qtype := ask.Question[0].Qtype
	for range maxAliases {
		r := s.zone.answer(name, qtype)
		s.addResult(m, r, s.zone.domain)
		if r.alias == "" {
			return
		}
		if name = r.alias; !s.zone.has(name) {
			s.chase(ctx, m, ask, name)
			return
		}
	}
	m.Answer, m.Rcode = nil, dns.RcodeServerFailure
}

// addResult adds what a zone knows; an end without records gets the SOA.
func (s *Server) addResult(m *dns.Msg, r result, apex string) {
	m.Authoritative = true
	m.Answer = append(m.Answer, r.answer...)
	m.Extra = append(m.Extra, r.extra...)
	if !r.exists {
		m.Rcode = dns.RcodeNameError
	}
	if len(r.answer) == 0 {
		m.Ns = append(m.Ns, s.zone.soa(apex))
	}
}

// chase adds what upstreams say about the name at the end of an alias. Without
// upstreams the alias alone is the answer.
func (s *Server) chase(ctx context.Context, m, ask *dns.Msg, name string) {
	up, _, err := s.forwarder.ask(ctx, asked(ask, name))
	switch {
	case errors.Is(err, errNoUpstream):
	case err != nil:
		m.Answer, m.Rcode = nil, dns.RcodeServerFailure
	default:
		m.Authoritative = false
		m.Answer = append(m.Answer, up.Answer...)
		m.Rcode = up.Rcode
		if len(up.Answer) == 0 {
			m.Ns = up.Ns
		}
	}
}

func asked(ask *dns.Msg, name string) question {
	q := question{name: dns.CanonicalName(name), qtype: ask.Question[0].Qtype, cd: ask.CheckingDisabled}
	if opt := ask.IsEdns0(); opt != nil {
		q.do = opt.Do()
	}
	return q
}

// forward answers a name that is not ours.
func (s *Server) forward(ctx context.Context, m, ask *dns.Msg) (*dns.Msg, string) {
	up, cached, err := s.forwarder.ask(ctx, asked(ask, ask.Question[0].Name))
	kind := "forward"
	if cached {
		kind = "cache"
	}
	switch {
	case errors.Is(err, errNoUpstream), errors.Is(err, errBusy):
		m.Rcode = dns.RcodeRefused
		return m, kind
	case err != nil:
		s.cfg.Log.Debug("forward", "error", err)
		m.Rcode = dns.RcodeServerFailure
		return m, kind
	}
	up.Id, up.Question = ask.Id, ask.Question
	up.RecursionDesired, up.RecursionAvailable = ask.RecursionDesired, true
	up.Extra = withoutOPT(up.Extra)
	return up, kind
}

// withoutOPT drops the upstream's EDNS terms: they are between it and us.
func withoutOPT(extra []dns.RR) []dns.RR {
	var out []dns.RR
	for _, rr := range extra {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, rr)
		}
	}
	return out
}

var _ dns.Handler = (*Server)(nil)
