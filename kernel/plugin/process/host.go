// Package process runs plugins as child processes through hashicorp/go-plugin,
// one process per instance: what one does cannot reach another. A process
// that does not answer in time is killed, with all that it started; its memory
// is bounded as the system allows. The shared region is a sealed memfd that the
// process inherits.
//
// Each process has an unprivileged user and namespaces of its own, see package
// sandbox. What it says is not believed: where it listens, how large the region
// is, and how long its messages are is checked. Start at Host.Open.
// RATIONALE.md: "Why a process host, and why a memfd?"
package process

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/pintle-io/pintle/kernel/plugin"
)

// Config configures a Host.
type Config struct {
	// Dir is where executables are kept; it is made when missing.
	Dir string
	// SocketDir is where sockets are made. Its path is short, and other users can
	// pass through the folders above it; "" is /run/pintle-plugins/N for root, N
	// this process's number, and Dir/run for others.
	SocketDir string
	// Unconfined lets plugin processes run with all rights of this one.
	Unconfined bool
	Log        *slog.Logger
}

// Host starts plugin processes. It is safe for concurrent use.
type Host struct {
	sockets  *sockets
	confined bool
	users    *users
	images   *images
	log      *slog.Logger
}

// New makes a host.
func New(c Config) (*Host, error) {
	if c.Dir == "" {
		return nil, fmt.Errorf("process host: no folder given")
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("process host: %w", err)
	}
	if err := sweep(c.Dir); err != nil {
		return nil, fmt.Errorf("process host: clean up: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Host{sockets: newSockets(c), confined: !c.Unconfined, users: newUsers(),
		images: &images{dir: c.Dir, loaded: map[string]*image{}}, log: c.Log}, nil
}

// Open implements plugin.Host.
func (h *Host) Open(ctx context.Context, m plugin.Module, o plugin.OpenOptions) (plugin.Instance, error) {
	o.Limits = o.Limits.WithDefaults()
	in := &instance{host: h, options: o}
	if err := in.start(ctx, m); err != nil {
		in.release()
		return nil, err
	}
	var err error
	in.manifest, err = plugin.Open(ctx, in.opening, o)
	if err != nil {
		in.release()
		return nil, err
	}
	return in, nil
}

var _ plugin.Host = (*Host)(nil)
