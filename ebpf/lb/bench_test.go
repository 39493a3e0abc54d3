package lb_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/ebpf/lb"
)

// many returns n services of k backends each, none of which is ever asked.
func many(n, k int) []lb.Service {
	out := make([]lb.Service, n)
	for i := range out {
		out[i] = service(fmt.Sprint("many", i), fmt.Sprintf("10.97.%d.%d:80", i>>8, i&255), lb.TCP)
		for j := range k {
			x := i*k + j
			out[i].Backends = append(out[i].Backends, lb.Backend{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(128 + x>>16), byte(x >> 8), byte(x)}), 8080)})
		}
	}
	return out
}

// connect measures one connect call, without making and closing the socket.
func connect(b *testing.B, to netip.AddrPort) time.Duration {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		b.Fatal(err)
	}
	sa := &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}
	start := time.Now()
	err = unix.Connect(fd, sa)
	took := time.Since(start)
	if err != nil {
		b.Fatal(err)
	}
	return took
}

// BenchmarkConnect compares a connect to the backend itself with one to its
// service, in turn, so that both see the same machine.
func BenchmarkConnect(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			l := open(b, lb.Config{})
			if err := l.Table.Replace(many(n-1, 2)); err != nil {
				b.Fatal(err)
			}
			backend := serveTCP(b, "127.0.0.1:0", "")
			upsert(b, l, service("s", vip, lb.TCP, backend))
			var direct, service []time.Duration
			for b.Loop() {
				direct = append(direct, connect(b, backend))
				service = append(service, connect(b, netip.MustParseAddrPort(vip)))
			}
			b.ReportMetric(float64(median(direct).Nanoseconds()), "direct-p50-ns")
			b.ReportMetric(float64(median(service).Nanoseconds()), "service-p50-ns")
		})
	}
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkUpsert is one endpoint more and one less of one service of ten
// endpoints, among n.
func BenchmarkUpsert(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run(fmt.Sprintf("services=%d", n), func(b *testing.B) {
			l := open(b, lb.Config{})
			all := many(n, 10)
			if err := l.Table.Replace(all); err != nil {
				b.Fatal(err)
			}
			s := all[0]
			fewer := s
			fewer.Backends = s.Backends[:9]
			for b.Loop() {
				upsert(b, l, fewer)
				upsert(b, l, s)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
		})
	}
}

// BenchmarkReplace writes 10,000 services of ten endpoints from scratch, and
// again when nothing changed.
func BenchmarkReplace(b *testing.B) {
	all := many(10000, 10)
	b.Run("empty", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			l := open(b, lb.Config{})
			b.StartTimer()
			if err := l.Table.Replace(all); err != nil {
				b.Fatal(err)
			}
			b.StopTimer()
			l.Close()
			b.StartTimer()
		}
	})
	b.Run("unchanged", func(b *testing.B) {
		l := open(b, lb.Config{})
		if err := l.Table.Replace(all); err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if err := l.Table.Replace(all); err != nil {
				b.Fatal(err)
			}
		}
	})
}
