package containerd

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"text/template"
	"time"
)

// Config says how the private containerd runs.
type Config struct {
	// Dir holds everything of this containerd: configuration, socket, images,
	// state. Absolute; short, since the socket's path may have 107 bytes.
	Dir string
	// Binary is the containerd executable; "" looks it up in PATH.
	Binary string
	// Runc is the OCI runtime; "" looks it up in PATH.
	Runc string
	// Registry is the "host:port" that every registry name resolves to, over
	// plain HTTP. "" leaves names as they are.
	Registry string
	// SandboxImage is the reference of the pause image.
	SandboxImage string
	// CNIBinDir and CNIConfDir say where CNI plugins and networks are found.
	CNIBinDir, CNIConfDir string
	// Snapshotter stores layers; "" is "overlayfs".
	Snapshotter string
	// Cgroup is the group that containerd and its shims run in, such as
	// "/pintle/n1/runtime". "" leaves them in the caller's.
	Cgroup string
	// NetNS is the path of a network namespace to start in; "" is the
	// caller's own.
	NetNS string
	// StartTimeout bounds the wait for the socket to answer; 0 is 30 s.
	StartTimeout time.Duration
	// Log receives state changes; nil discards.
	Log *slog.Logger
}

// MinFree is the disk space in bytes below which containerd is not started.
const MinFree = 64 << 20

const maxSocketPath = 107

func (c Config) path(name ...string) string {
	return filepath.Join(append([]string{c.Dir}, name...)...)
}

// Socket is the path of the CRI socket.
func (c Config) Socket() string { return c.path("containerd.sock") }

// Endpoint is the CRI endpoint as a gRPC target.
func (c Config) Endpoint() string { return "unix://" + c.Socket() }

func (c Config) pidFile() string    { return c.path("containerd.pid") }
func (c Config) configFile() string { return c.path("etc", "config.toml") }

// LogFile is where containerd's own log goes.
func (c Config) LogFile() string { return c.path("containerd.log") }

func (c Config) withDefaults() (Config, error) {
	if !filepath.IsAbs(c.Dir) {
		return c, fmt.Errorf("containerd directory %q is not absolute", c.Dir)
	}
	if len(c.Socket()) > maxSocketPath {
		return c, fmt.Errorf("containerd directory %q is too long: the socket's path may have %d bytes", c.Dir, maxSocketPath)
	}
	if c.Snapshotter == "" {
		c.Snapshotter = "overlayfs"
	}
	if c.StartTimeout == 0 {
		c.StartTimeout = 30 * time.Second
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

// ErrNoBinary is wrapped when containerd or runc is not installed.
var ErrNoBinary = errors.New("install containerd: apt-get install containerd runc")

// locate fills in the executables.
func (c Config) locate() (Config, error) {
	for _, b := range []struct {
		at   *string
		name string
	}{{&c.Binary, "containerd"}, {&c.Runc, "runc"}} {
		want := b.name
		if *b.at != "" {
			want = *b.at
		}
		p, err := exec.LookPath(want)
		if err != nil {
			return c, fmt.Errorf("no %s executable found: %w", want, ErrNoBinary)
		}
		if *b.at, err = filepath.Abs(p); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Major asks the executable for its major version.
func Major(ctx context.Context, binary string) (int, error) {
	out, err := exec.CommandContext(ctx, binary, "--version").Output()
	if err != nil {
		return 0, fmt.Errorf("ask %s for its version: %w", binary, err)
	}
	return parseMajor(string(out))
}

// parseMajor reads lines such as
// "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3".
func parseMajor(out string) (int, error) {
	for _, w := range strings.Fields(out) {
		head, _, ok := strings.Cut(strings.TrimPrefix(w, "v"), ".")
		if !ok {
			continue
		}
		if n, err := strconv.Atoi(head); err == nil && n > 0 {
			return n, nil
		}
	}
	return 0, fmt.Errorf("containerd version not understood: %q", strings.TrimSpace(out))
}

//go:embed config_v2.toml
var templateV2 string

//go:embed config_v3.toml
var templateV3 string

// render makes the configuration for containerd of the given major version:
// configuration version 2 for 1.x, version 3 from 2.x on.
func (c Config) render(major int) ([]byte, error) {
	text := templateV3
	if major < 2 {
		text = templateV2
	}
	t, err := template.New("config").Funcs(template.FuncMap{"q": strconv.Quote}).Parse(text)
	if err != nil {
		return nil, fmt.Errorf("containerd configuration: %w", err)
	}
	var b strings.Builder
	if err := t.Execute(&b, c); err != nil {
		return nil, fmt.Errorf("containerd configuration: %w", err)
	}
	return []byte(b.String()), nil
}

// hosts makes every registry name resolve to our registry.
// RATIONALE.md: "Why does any registry name resolve to Pintle's registry?"
func (c Config) hosts() []byte {
	// server keeps an image that is not there from being looked for at the
	// registry that its name would mean elsewhere.
	return fmt.Appendf(nil, "server = %[1]q\n\n[host.%[1]q]\n  capabilities = [\"pull\", \"resolve\"]\n", "http://"+c.Registry)
}

// write puts the configuration on disk and reports whether it differs from
// what was there.
func (c Config) write(major int) (changed bool, err error) {
	text, err := c.render(major)
	if err != nil {
		return false, err
	}
	files := map[string][]byte{c.configFile(): text}
	hosts := c.path("hosts.d", "_default", "hosts.toml")
	if c.Registry != "" {
		files[hosts] = c.hosts() // read anew at each pull: a change needs no restart
	} else if err := os.RemoveAll(hosts); err != nil {
		return false, err
	}
	for _, d := range []string{"etc", "root", "state", "runc", "opt", "hosts.d"} {
		if err := os.MkdirAll(c.path(d), 0o711); err != nil {
			return false, fmt.Errorf("containerd directory: %w", err)
		}
	}
	old, err := os.ReadFile(c.configFile())
	changed = err != nil || string(old) != string(text)
	for name, b := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return false, fmt.Errorf("containerd configuration: %w", err)
		}
		if err := os.WriteFile(name, b, 0o644); err != nil {
			return false, fmt.Errorf("containerd configuration: %w", err)
		}
	}
	return changed, nil
}
