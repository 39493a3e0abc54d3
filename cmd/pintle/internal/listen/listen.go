// Package listen opens the listeners that the command line names: addresses,
// or sockets inherited from the process that started this one.
package listen

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// Open opens every listener named: "host:port", or "fd:N=host:port" for an
// inherited socket, whose address behind the "=" is for people. On an error
// those opened before are closed. flag names the flag in errors.
func Open(flag string, specs []string) ([]net.Listener, error) {
	var out []net.Listener
	for _, spec := range specs {
		l, err := open(spec)
		if err != nil {
			for _, o := range out {
				o.Close()
			}
			return nil, explain(flag, spec, err)
		}
		out = append(out, l)
	}
	return out, nil
}

func open(spec string) (net.Listener, error) {
	fd, ok := strings.CutPrefix(spec, "fd:")
	if !ok {
		return net.Listen("tcp", spec)
	}
	number, _, _ := strings.Cut(fd, "=")
	n, err := strconv.Atoi(number)
	if err != nil || n < 3 {
		return nil, errors.New("want fd:N=host:port with N from 3 on")
	}
	f := os.NewFile(uintptr(n), spec)
	defer f.Close()
	return net.FileListener(f)
}

func explain(flag, spec string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s: %s is in use by another process; stop that one or choose another address with --%s", flag, spec, flag)
	}
	return fmt.Errorf("--%s %q: %w", flag, spec, err)
}
