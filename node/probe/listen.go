package probe

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// listenGrace is how long after its start an instance without a readiness
// probe may take to listen before it counts as ready all the same.
const listenGrace = 2 * time.Second

// firstLook is the first interval between looks at what an instance listens
// on; it grows by half up to lastLook.
const (
	firstLook = 3 * time.Millisecond
	lastLook  = 50 * time.Millisecond
)

// listening makes an instance without a readiness probe ready when it listens
// where Services send connections to. As upstream, such an instance is ready
// once it runs; but a program needs a moment between its start and its first
// listen, in which connections would be refused.
// RATIONALE.md: "Why is a pod ready only when it listens?"
func (m *Manager) listening(ctx context.Context, i *instance, ports []uint16) {
	if !wait(ctx, i.started) {
		return
	}
	now := m.cfg.Clock.Now()
	end := i.StartedAt.Add(listenGrace)
	if last := now.Add(listenGrace); last.Before(end) {
		end = last // the clock was set back
	}
	for pause := firstLook; m.cfg.Clock.Now().Before(end); pause = min(pause+pause/2, lastLook) {
		open, err := m.cfg.Listening(i.Pod.UID)
		if err != nil {
			m.cfg.Log.Debug("listening ports not seen", "pod", i.Pod.Name, "container", i.Container.Name, "error", err)
		}
		if !slices.ContainsFunc(ports, func(p uint16) bool { return !open[p] }) {
			break
		}
		if !m.sleep(ctx, pause) {
			return
		}
	}
	m.change(i, func(h *Health) { h.Ready = true })
}

// Listening are the TCP ports that are listened on in the network namespace of
// a process. Nothing is sent: a connection on trial may be more than a program
// expects.
func Listening(pid int) (map[uint16]bool, error) {
	out := map[uint16]bool{}
	for _, name := range []string{"tcp", "tcp6"} {
		f, err := os.Open(fmt.Sprintf("/proc/%d/net/%s", pid, name))
		if os.IsNotExist(err) && name == "tcp6" {
			continue // a kernel without IPv6
		}
		if err != nil {
			return nil, err
		}
		err = parseListening(f, out)
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// tcpListen is the state of a listening socket, proc(5).
const tcpListen = "0A"

// parseListening reads a table in the form of /proc/net/tcp, proc(5); lines
// that it does not know are left out.
func parseListening(r io.Reader, out map[uint16]bool) error {
	sc := bufio.NewScanner(r)
	for sc.Scan() {
		f := strings.Fields(sc.Text())
		if len(f) < 4 || f[3] != tcpListen {
			continue
		}
		_, hex, _ := strings.Cut(f[1], ":")
		if port, err := strconv.ParseUint(hex, 16, 16); err == nil {
			out[uint16(port)] = true
		}
	}
	return sc.Err()
}
