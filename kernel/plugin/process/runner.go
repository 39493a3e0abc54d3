package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin/runner"
	"golang.org/x/sys/unix"

	"github.com/pintle-io/pintle/kernel/plugin/process/sandbox"
)

// child is one plugin process as go-plugin's client sees it.
type child struct {
	cmd  *exec.Cmd
	exe  *os.File
	spec sandbox.Spec

	stdout, stderr io.ReadCloser
	reaped         atomic.Bool

	mu      sync.Mutex
	process *os.Process // guarded by mu; nil before it runs
	killed  bool        // guarded by mu
}

// runner makes the child of what go-plugin's client has prepared.
func (c *child) runner(_ hclog.Logger, prepared *exec.Cmd, socketDir string) (runner.Runner, error) {
	c.spec.SocketDir = socketDir
	inside := socketDir
	if c.spec.Confined {
		inside = sandbox.SocketDir
		if err := os.Chown(socketDir, int(c.spec.User), -1); err != nil {
			return nil, err
		}
	}
	for _, e := range prepared.Env {
		if strings.HasPrefix(e, "PLUGIN_UNIX_SOCKET_DIR=") {
			e = "PLUGIN_UNIX_SOCKET_DIR=" + inside
		}
		c.cmd.Env = append(c.cmd.Env, e)
	}
	var err error
	if c.stdout, err = c.cmd.StdoutPipe(); err != nil {
		return nil, err
	}
	if c.stderr, err = c.cmd.StderrPipe(); err != nil {
		return nil, err
	}
	return c, nil
}

// starter is the thread that starts all children: they end when it ends, which
// is when this process does.
var starter = sync.OnceValue(func() chan<- func() {
	work := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range work {
			f()
		}
	}()
	return work
})

func (c *child) Start(context.Context) error {
	done := make(chan error, 1)
	starter() <- func() { done <- sandbox.Start(c.cmd, c.exe, c.spec) }
	if err := <-done; err != nil {
		return err
	}
	c.mu.Lock()
	c.process = c.cmd.Process
	killed := c.killed
	c.mu.Unlock()
	if killed {
		return c.Kill(context.Background())
	}
	return nil
}

// pid is the process's number; 0 before it runs.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.process == nil {
		return 0
	}
	return c.process.Pid
}

func (c *child) Wait(context.Context) error {
	err := c.cmd.Wait()
	c.reaped.Store(true)
	return err
}

// Kill ends the process with all that it started: those of a confined one are
// in its pid namespace, those of another in its group unless they left it.
func (c *child) Kill(context.Context) error {
	c.mu.Lock()
	c.killed = true
	p := c.process
	c.mu.Unlock()
	if p == nil {
		return nil // Start sees it
	}
	if !c.spec.Confined && !c.reaped.Load() {
		_ = unix.Kill(-p.Pid, unix.SIGKILL) // it may be gone
		// Who left the group may hold the pipes open, and their readers wait.
		time.AfterFunc(time.Second, func() { _ = errors.Join(c.stdout.Close(), c.stderr.Close()) })
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

func (c *child) Stdout() io.ReadCloser           { return c.stdout }
func (c *child) Stderr() io.ReadCloser           { return c.stderr }
func (c *child) Name() string                    { return "plugin" }
func (c *child) Diagnose(context.Context) string { return "" }

func (c *child) ID() string {
	if pid := c.pid(); pid != 0 {
		return strconv.Itoa(pid)
	}
	return ""
}

// PluginToHost finds the socket that the process says it listens at. It could
// name any: only one in its own folder is taken, and see dial.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	inside := c.spec.SocketDir
	if c.spec.Confined {
		inside = sandbox.SocketDir
	}
	dir, file := path.Split(address)
	if network != "unix" || path.Clean(dir) != inside || file == "" || file == "." || file == ".." {
		return "", "", fmt.Errorf("the plugin listens at %.100q (%.20q), which is not in the folder that it was given", address, network)
	}
	return network, path.Join(c.spec.SocketDir, file), nil
}

func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// dial connects to the socket and sees that this very process listens there: it
// could have put a link to another's in its place.
func (c *child) dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", address)
	if err != nil {
		return nil, err
	}
	raw, err := conn.(*net.UnixConn).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	var peer *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) { peer, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	if err = errors.Join(err, credErr); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	if int(peer.Pid) != c.pid() {
		return nil, errors.Join(fmt.Errorf("process %d listens at the plugin's socket, not the plugin (process %d)", peer.Pid, c.pid()), conn.Close())
	}
	return conn, nil
}

var _ runner.Runner = (*child)(nil)
