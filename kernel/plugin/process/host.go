// Package process runs plugins as child processes through hashicorp/go-plugin,
// one process per instance: what one does cannot reach another. A process
// that does not answer in time is killed; its memory is bounded as the system
// allows. The shared region is a memfd that the process inherits.
//
// A plugin process has the rights of the kernel's user: it can read files and
// open sockets. Use the wasm host for code that is not trusted.
package process

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Config configures a Host.
type Config struct {
	// Dir is where executables and sockets are kept; it is made when missing.
	Dir string
	Log *slog.Logger
}

// Host starts plugin processes. It is safe for concurrent use.
type Host struct {
	dir string
	log *slog.Logger
}

// New makes a host.
func New(c Config) (*Host, error) {
	if c.Dir == "" {
		return nil, fmt.Errorf("process host: no folder given")
	}
	for _, d := range []string{c.Dir, filepath.Join(c.Dir, "run")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, fmt.Errorf("process host: %w", err)
		}
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Host{dir: c.Dir, log: c.Log}, nil
}

// Open implements plugin.Host.
func (h *Host) Open(ctx context.Context, m plugin.Module, o plugin.OpenOptions) (plugin.Instance, error) {
	path, err := h.executable(m)
	if err != nil {
		return nil, err
	}
	o.Limits = o.Limits.WithDefaults()
	in := &instance{host: h, options: o}
	if err := in.start(ctx, path); err != nil {
		in.kill()
		return nil, err
	}
	in.manifest, err = plugin.Open(ctx, in.opening, o)
	if err != nil {
		in.kill()
		return nil, err
	}
	return in, nil
}

// executable is the path of the module, written to disk when it came as bytes.
func (h *Host) executable(m plugin.Module) (string, error) {
	if m.Path != "" {
		return m.Path, nil
	}
	code, err := m.Code()
	if err != nil {
		return "", fmt.Errorf("read module: %w", err)
	}
	if len(code) < 4 || string(code[:4]) != "\x7fELF" && string(code[:2]) != "#!" {
		return "", wire.Errorf(wire.KindABI, "not an executable for this system")
	}
	name := strings.TrimPrefix(m.Digest, "sha256:")
	if b, err := hex.DecodeString(name); err != nil || len(b) != 32 {
		return "", fmt.Errorf("module digest %q is not sha256", m.Digest)
	}
	path := filepath.Join(h.dir, name)
	if st, err := os.Stat(path); err == nil && st.Size() == int64(len(code)) {
		return path, nil
	}
	f, err := os.CreateTemp(h.dir, "."+name+"-")
	if err != nil {
		return "", fmt.Errorf("write module: %w", err)
	}
	_, err = f.Write(code)
	if err == nil {
		err = f.Chmod(0o700)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return "", fmt.Errorf("write module: %w", err)
	}
	return path, nil
}

var _ plugin.Host = (*Host)(nil)
