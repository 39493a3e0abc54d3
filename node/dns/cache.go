package dns

import (
	"container/list"
	"sync"
	"time"

	"github.com/miekg/dns"
	"k8s.io/utils/clock"
)

// maxKeep bounds how long an answer is kept, whatever its TTL: a node's cache
// should not be what is stale.
const maxKeep = 30 * time.Second

// maxKeepBytes bounds one kept answer.
const maxKeepBytes = 4096

// question is what tells answers apart.
type question struct {
	name   string // canonical
	qtype  uint16
	do, cd bool // DNSSEC OK, checking disabled
}

type entry struct {
	key     question
	msg     []byte // packed
	stored  time.Time
	expires time.Time
}

// cache keeps forwarded answers, at most max; the one used longest ago goes
// first. Safe for concurrent use.
type cache struct {
	max   int
	clock clock.PassiveClock

	mu    sync.Mutex
	byKey map[question]*list.Element // of *entry; guarded by mu
	order *list.List                 // latest first; guarded by mu
}

func newCache(max int, c clock.PassiveClock) *cache {
	return &cache{max: max, clock: c, byKey: map[question]*list.Element{}, order: list.New()}
}

// get returns a copy whose TTLs have run on since it was stored.
func (c *cache) get(q question) *dns.Msg {
	c.mu.Lock()
	el := c.byKey[q]
	if el == nil {
		c.mu.Unlock()
		return nil
	}
	e := el.Value.(*entry)
	now := c.clock.Now()
	if !now.Before(e.expires) {
		c.order.Remove(el)
		delete(c.byKey, q)
		c.mu.Unlock()
		return nil
	}
	c.order.MoveToFront(el)
	c.mu.Unlock()
	m := new(dns.Msg)
	if m.Unpack(e.msg) != nil {
		return nil
	}
	age := uint32(now.Sub(e.stored) / time.Second)
	eachTTL(m, func(h *dns.RR_Header) { h.Ttl -= min(age, h.Ttl) })
	return m
}

// put keeps an answer for as long as it says, if it may be kept.
func (c *cache) put(q question, m *dns.Msg) {
	ttl := keepFor(m)
	if ttl <= 0 {
		return
	}
	b, err := m.Pack()
	if err != nil || len(b) > maxKeepBytes {
		return
	}
	now := c.clock.Now()
	e := &entry{key: q, msg: b, stored: now, expires: now.Add(ttl)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if el := c.byKey[q]; el != nil {
		el.Value = e
		c.order.MoveToFront(el)
		return
	}
	c.byKey[q] = c.order.PushFront(e)
	for c.order.Len() > c.max {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.byKey, last.Value.(*entry).key)
	}
}

// keepFor is the least TTL of the answer; for a negative one, what its SOA says
// (RFC 2308), and nothing without one.
func keepFor(m *dns.Msg) time.Duration {
	if m.Truncated || m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return 0
	}
	ttl := uint32(maxKeep / time.Second)
	if len(m.Answer) == 0 {
		soa := false
		for _, rr := range m.Ns {
			if s, ok := rr.(*dns.SOA); ok {
				soa, ttl = true, min(ttl, s.Minttl)
			}
		}
		if !soa {
			return 0
		}
	}
	eachTTL(m, func(h *dns.RR_Header) { ttl = min(ttl, h.Ttl) })
	return time.Duration(ttl) * time.Second
}

func eachTTL(m *dns.Msg, f func(*dns.RR_Header)) {
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype != dns.TypeOPT {
				f(rr.Header())
			}
		}
	}
}
