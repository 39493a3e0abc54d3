package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"

	"github.com/pintle-io/pintle/cmd/pintle/internal/listen"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/node/cni/routes"
)

// errLoopbackOnly: every listener is on the loopback, which pods cannot reach.
var errLoopbackOnly = errors.New("the API server listens on the loopback only")

// advertised is where pods and nodes reach the API server: at the address that
// the operator names, else at the first listener that is not the loopback. The
// port is that listener's.
//
// # Errors
//   - errLoopbackOnly; the address that comes with it is the first listener's
func advertised(listeners []net.Listener, named string) (netip.AddrPort, error) {
	var first, reachable netip.AddrPort
	for _, l := range listeners {
		a, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return first, fmt.Errorf("--listen %s is no TCP address", l.Addr())
		}
		at := netip.AddrPortFrom(a.AddrPort().Addr().Unmap(), a.AddrPort().Port())
		if !first.IsValid() {
			first = at
		}
		if !reachable.IsValid() && !at.Addr().IsLoopback() {
			reachable = at
		}
	}
	if named != "" {
		ip, err := netip.ParseAddr(named)
		if err != nil {
			return first, fmt.Errorf("--advertise-address: %w", err)
		}
		if reachable.IsValid() {
			first = reachable
		}
		return netip.AddrPortFrom(ip.Unmap(), first.Port()), nil
	}
	switch {
	case !reachable.IsValid():
		return first, errLoopbackOnly
	case reachable.Addr().IsUnspecified():
		return first, errors.New("--advertise-address is needed when --listen is every address of the machine")
	}
	return reachable, nil
}

// listenForPods adds an address at which the pods of this machine reach an API
// server that listens on the loopback only: no other machine can join it, and
// the loopback is not theirs. A server that may not change addresses goes on
// without; the kernel says what that means.
func listenForPods(s *serve.Server, loopback netip.AddrPort, log *slog.Logger) error {
	s.Advertise = loopback
	if err := routes.AddLocal(serve.LocalAPI); errors.Is(err, fs.ErrPermission) {
		log.Debug("no address for pods", "error", err)
		return nil
	} else if err != nil {
		return fmt.Errorf("the address at which pods reach the API: %w", err)
	}
	at := netip.AddrPortFrom(serve.LocalAPI, loopback.Port())
	l, err := listen.Open("listen", []string{at.String()})
	if err != nil {
		return err
	}
	s.Listeners, s.Advertise = append(s.Listeners, l...), at
	return nil
}
