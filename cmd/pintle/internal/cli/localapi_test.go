package cli

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
)

// at is a listener by its address alone.
type at struct {
	net.Listener
	addr net.Addr
}

func (a at) Addr() net.Addr { return a.addr }

func TestAdvertised(t *testing.T) {
	for _, tc := range []struct {
		name, named string
		listen      []string
		want        string
		loopback    bool
		fault       string
	}{
		{name: "an address of the machine", listen: []string{"10.0.0.1:6443"}, want: "10.0.0.1:6443"},
		{name: "the loopback first", listen: []string{"127.0.0.1:6443", "10.0.0.1:7443"}, want: "10.0.0.1:7443"},
		{name: "the loopback alone", listen: []string{"127.0.0.1:6443"}, want: "127.0.0.1:6443", loopback: true},
		{name: "both loopbacks", listen: []string{"[::1]:6443", "127.0.0.1:6443"}, want: "[::1]:6443", loopback: true},
		{name: "a mapped loopback", listen: []string{"[::ffff:127.0.0.1]:6443"}, want: "127.0.0.1:6443", loopback: true},
		{name: "named", listen: []string{"127.0.0.1:6443"}, named: "10.0.0.9", want: "10.0.0.9:6443"},
		{name: "named, the port of who is reached", listen: []string{"127.0.0.1:6443", "10.0.0.1:7443"}, named: "10.0.0.9", want: "10.0.0.9:7443"},
		{name: "every address", listen: []string{"0.0.0.0:6443"}, fault: "--advertise-address is needed"},
		{name: "every address, named", listen: []string{"0.0.0.0:6443"}, named: "10.0.0.9", want: "10.0.0.9:6443"},
		{name: "a name", listen: []string{"10.0.0.1:6443"}, named: "api.example", fault: "--advertise-address"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var listeners []net.Listener
			for _, a := range tc.listen {
				listeners = append(listeners, at{addr: net.TCPAddrFromAddrPort(netip.MustParseAddrPort(a))})
			}
			got, err := advertised(listeners, tc.named)
			if tc.fault != "" {
				if err == nil || !strings.Contains(err.Error(), tc.fault) {
					t.Fatalf("error %v, want %q", err, tc.fault)
				}
				return
			}
			if errors.Is(err, errLoopbackOnly) != tc.loopback || (err != nil && !tc.loopback) {
				t.Fatalf("error %v, want loopback only: %v", err, tc.loopback)
			}
			if got.String() != tc.want {
				t.Errorf("advertised %s, want %s", got, tc.want)
			}
		})
	}
}
