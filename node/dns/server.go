package dns

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sys/unix"
)

// Limits of TCP connections.
const (
	tcpIdle       = 10 * time.Second
	tcpRead       = 3 * time.Second
	tcpPerConn    = 128 // questions
	tcpMaxAtATime = 256 // connections per address
)

// A Server answers DNS questions. Make it with [Listen].
type Server struct {
	cfg       Config
	zone      zone
	reverse   reverse
	forwarder *forwarder
	metrics   *metrics
	queries   chan struct{} // bounds questions in work
	ctx       context.Context
	servers   []*dns.Server
	addrs     []netip.AddrPort
}

// Listen takes the addresses; questions wait until Run.
func Listen(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	z := zone{source: cfg.Source, domain: cfg.Domain, ttl: uint32(cfg.TTL / time.Second)}
	s := &Server{
		cfg: cfg, zone: z, reverse: reverse{z, cfg.Ranges}, forwarder: newForwarder(cfg),
		metrics: newMetrics(cfg.Metrics), queries: make(chan struct{}, cfg.MaxQueries),
	}
	for _, a := range cfg.Listen {
		err := s.listen(a)
		// A port that is free for UDP may not be for TCP: take another.
		for try := 0; a.Port() == 0 && errors.Is(err, unix.EADDRINUSE) && try < 20; try++ {
			err = s.listen(a)
		}
		if err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// Addrs are the addresses taken, in the order of Config.Listen.
func (s *Server) Addrs() []netip.AddrPort { return s.addrs }

// listen takes one address for UDP and TCP, the same port for both.
func (s *Server) listen(a netip.AddrPort) error {
	// The address may be given to a device later.
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1) })
		return errors.Join(ctl, err)
	}}
	ctx := context.Background()
	udp, err := lc.ListenPacket(ctx, "udp", a.String())
	if err != nil {
		return fmt.Errorf("listen on %s: %w", a, err)
	}
	got := udp.LocalAddr().(*net.UDPAddr).AddrPort()
	got = netip.AddrPortFrom(got.Addr().Unmap(), got.Port())
	tcp, err := lc.Listen(ctx, "tcp", got.String())
	if err != nil {
		return errors.Join(fmt.Errorf("listen on %s: %w", got, err), udp.Close())
	}
	idle := func() time.Duration { return tcpIdle }
	s.servers = append(s.servers,
		&dns.Server{PacketConn: udp, Handler: s, UDPSize: maxUDP},
		&dns.Server{Listener: newLimited(tcp, tcpMaxAtATime), Handler: s, ReadTimeout: tcpRead, WriteTimeout: tcpRead, IdleTimeout: idle, MaxTCPQueries: tcpPerConn})
	s.addrs = append(s.addrs, got)
	return nil
}

// Run answers until ctx ends, then lets the questions in work be answered.
func (s *Server) Run(ctx context.Context) error {
	s.ctx = ctx
	var wg sync.WaitGroup
	failed := make(chan error, len(s.servers))
	for _, srv := range s.servers {
		started := make(chan struct{})
		srv.NotifyStartedFunc = sync.OnceFunc(func() { close(started) })
		wg.Go(func() {
			if err := srv.ActivateAndServe(); err != nil {
				failed <- err
			}
		})
		select {
		case <-started:
		case err := <-failed:
			return errors.Join(err, s.close())
		}
	}
	s.cfg.Log.Info("DNS answers", "addrs", s.addrs, "upstreams", s.cfg.Upstreams)
	var err error
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case err = <-failed:
	}
	for _, srv := range s.servers {
		down, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		_ = srv.ShutdownContext(down) // at worst a question in work is cut off
		cancel()
	}
	wg.Wait()
	return err
}

func (s *Server) close() error {
	var errs []error
	for _, srv := range s.servers {
		if srv.PacketConn != nil {
			errs = append(errs, srv.PacketConn.Close())
		}
		if srv.Listener != nil {
			errs = append(errs, srv.Listener.Close())
		}
	}
	return errors.Join(errs...)
}

// limited is a listener with a bound on open connections; beyond it new ones
// are closed at once.
type limited struct {
	net.Listener
	slots chan struct{}
}

func newLimited(l net.Listener, n int) limited { return limited{l, make(chan struct{}, n)} }

func (l limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{Conn: c, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			c.Close()
		}
	}
}

type limitedConn struct {
	net.Conn
	release func()
}

func (c *limitedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

type metrics struct {
	answered *prometheus.CounterVec
	duration *prometheus.HistogramVec
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		answered: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pintle_dns_responses_total",
			Help: "DNS answers, by where they came from and their code.",
		}, []string{"source", "rcode"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "pintle_dns_response_duration_seconds",
			Help:    "Time to answer a DNS question, by where the answer came from.",
			Buckets: prometheus.ExponentialBuckets(20e-6, 4, 10),
		}, []string{"source"}),
	}
	if r != nil {
		r.MustRegister(m.answered, m.duration)
	}
	return m
}
