package dns

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// Why a name could not be asked for.
var (
	errNoUpstream = errors.New("no upstream server")
	errBusy       = errors.New("too many questions")
)

// restFor is how long an upstream that did not answer is asked last.
const restFor = 5 * time.Second

// askSize is the UDP size offered to upstreams: what passes everywhere
// unfragmented (DNS flag day 2020).
const askSize = 1232

// forwarder asks upstream servers. Equal questions in flight share one answer.
type forwarder struct {
	cfg   Config
	cache *cache
	slots chan struct{} // bounds questions on their way

	mu      sync.Mutex
	flights map[question]*flight         // guarded by mu
	resting map[netip.AddrPort]time.Time // until when; guarded by mu
}

type flight struct {
	done chan struct{}
	msg  *dns.Msg // shared: copied by whoever changes it
	err  error
}

func newForwarder(cfg Config) *forwarder {
	return &forwarder{
		cfg: cfg, cache: newCache(cfg.CacheEntries, cfg.Clock),
		slots:   make(chan struct{}, max(cfg.MaxQueries/4, 1)),
		flights: map[question]*flight{}, resting: map[netip.AddrPort]time.Time{},
	}
}

// ask returns an answer that is the caller's own.
//
// # Errors
//
// errNoUpstream, errBusy, or what the last upstream failed with.
func (f *forwarder) ask(ctx context.Context, q question) (m *dns.Msg, cached bool, err error) {
	if len(f.cfg.Upstreams) == 0 {
		return nil, false, errNoUpstream
	}
	if m := f.cache.get(q); m != nil {
		return m, true, nil
	}
	f.mu.Lock()
	fl := f.flights[q]
	if fl == nil {
		select {
		case f.slots <- struct{}{}:
		default:
			f.mu.Unlock()
			return nil, false, errBusy
		}
		fl = &flight{done: make(chan struct{})}
		f.flights[q] = fl
		// Not bound to this asker: others wait for the same.
		go f.fly(context.WithoutCancel(ctx), q, fl)
	}
	f.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, false, ctx.Err()
	case <-fl.done:
	}
	if fl.err != nil {
		return nil, false, fl.err
	}
	return fl.msg.Copy(), false, nil
}

func (f *forwarder) fly(ctx context.Context, q question, fl *flight) {
	fl.msg, fl.err = f.exchange(ctx, q)
	if fl.err == nil {
		f.cache.put(q, fl.msg)
	}
	f.mu.Lock()
	delete(f.flights, q)
	f.mu.Unlock()
	<-f.slots
	close(fl.done)
}

// exchange asks one upstream after the other.
func (f *forwarder) exchange(ctx context.Context, q question) (*dns.Msg, error) {
	var errs []error
	for _, up := range f.order() {
		m, err := f.exchangeWith(ctx, q, up)
		if err == nil && m.Rcode != dns.RcodeServerFailure && m.Rcode != dns.RcodeRefused {
			return m, nil
		}
		if err == nil {
			errs = append(errs, fmt.Errorf("%s: %s", up, dns.RcodeToString[m.Rcode]))
			continue
		}
		errs = append(errs, fmt.Errorf("%s: %w", up, err))
		f.mu.Lock()
		f.resting[up] = f.cfg.Clock.Now().Add(restFor)
		f.mu.Unlock()
	}
	return nil, errors.Join(errs...)
}

// order lists upstreams, those that did not answer lately last.
func (f *forwarder) order() []netip.AddrPort {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.cfg.Clock.Now()
	var good, bad []netip.AddrPort
	for _, up := range f.cfg.Upstreams {
		if now.Before(f.resting[up]) {
			bad = append(bad, up)
		} else {
			good = append(good, up)
		}
	}
	return append(good, bad...)
}

// exchangeWith asks by UDP, from a new socket and with a new id, and again by
// TCP when the answer did not fit.
func (f *forwarder) exchangeWith(ctx context.Context, q question, up netip.AddrPort) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	ask := new(dns.Msg)
	ask.SetQuestion(q.name, q.qtype)
	ask.CheckingDisabled = q.cd
	ask.SetEdns0(askSize, q.do)
	c := dns.Client{Net: "udp", Timeout: f.cfg.Timeout, UDPSize: askSize}
	m, _, err := c.ExchangeContext(ctx, ask, up.String())
	if err == nil && m.Truncated {
		c.Net = "tcp"
		m, _, err = c.ExchangeContext(ctx, ask, up.String())
	}
	if err != nil {
		return nil, err
	}
	if !answers(m, ask) {
		return nil, errors.New("the answer is to another question")
	}
	return m, nil
}

func answers(m, ask *dns.Msg) bool {
	return m.Response && len(m.Question) == 1 && m.Question[0].Qtype == ask.Question[0].Qtype &&
		m.Question[0].Qclass == dns.ClassINET && dns.CanonicalName(m.Question[0].Name) == ask.Question[0].Name
}
