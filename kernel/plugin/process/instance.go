package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/output"
	"github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/wire"
)

// startTimeout bounds the time from exec to the first answer.
const startTimeout = 15 * time.Second

type instance struct {
	host     *Host
	options  plugin.OpenOptions
	manifest wire.Manifest

	cmd    *exec.Cmd
	client *goplugin.Client
	stream grpc.ClientStream
	cancel context.CancelFunc
	output output.Writer

	memfd  *os.File
	region []byte

	out     []byte
	in      process.Frame
	expired atomic.Bool // the deadline killed the process
	fault   *wire.Error
	closed  bool
}

func (in *instance) start(ctx context.Context, path string) error {
	fd, err := unix.MemfdCreate("pintle-region", unix.MFD_CLOEXEC)
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	in.memfd = os.NewFile(uintptr(fd), "pintle-region")
	in.output.Log = in.options.Log
	in.cmd = exec.Command(path)
	in.cmd.Env = []string{"GOMEMLIMIT=" + strconv.FormatInt(in.memoryLimit()*9/10, 10), "GOTRACEBACK=single"}
	in.cmd.ExtraFiles = []*os.File{in.memfd}
	in.cmd.Dir = in.host.dir
	in.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  process.Handshake,
		Plugins:          process.Plugins(),
		Cmd:              in.cmd,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		StartTimeout:     startTimeout,
		SkipHostEnv:      true,
		Stderr:           &in.output,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: filepath.Join(in.host.dir, "run")},
	})
	rpc, err := in.client.Client()
	if err != nil {
		return wire.Errorf(wire.KindABI, "not a Pintle plugin, or it does not start: %s", firstLine(in.explainStart(err)))
	}
	raw, err := rpc.Dispense(process.Name)
	if err != nil {
		return fmt.Errorf("start plugin: %w", err)
	}
	in.limitMemory()
	// The stream outlives the context of Open.
	streamContext, cancel := context.WithCancel(context.WithoutCancel(ctx))
	in.cancel = cancel
	in.stream, err = raw.(*grpc.ClientConn).NewStream(streamContext, &process.Stream, process.Method, grpc.CallContentSubtype(process.Codec),
		grpc.MaxCallRecvMsgSize(process.MaxMessage), grpc.MaxCallSendMsgSize(process.MaxMessage))
	if err != nil {
		return fmt.Errorf("start plugin: %w", err)
	}
	return nil
}

func (in *instance) explainStart(err error) string {
	if s := in.output.Message(); s != "" {
		return s
	}
	return err.Error()
}

func (in *instance) memoryLimit() int64 { return int64(in.options.Limits.MemoryPages) << 16 }

// limitMemory bounds the process's private memory. Address space would be the
// wrong measure: Go reserves much more than it uses.
func (in *instance) limitMemory() {
	limit := uint64(in.memoryLimit())
	if err := unix.Prlimit(in.cmd.Process.Pid, unix.RLIMIT_DATA, &unix.Rlimit{Cur: limit, Max: limit}, nil); err != nil {
		in.host.log.Warn("memory of a plugin process is not limited", "plugin", in.options.Name, "error", err)
	}
}

func (in *instance) Manifest() wire.Manifest { return in.manifest }

// Call implements plugin.Instance.
func (in *instance) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	return in.callWithin(ctx, in.options.Limits.CallTimeout, op, req)
}

// opening is Call with the time that a start may take.
func (in *instance) opening(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	return in.callWithin(ctx, max(startTimeout, in.options.Limits.CallTimeout), op, req)
}

func (in *instance) callWithin(ctx context.Context, timeout time.Duration, op wire.Op, req []byte) ([]byte, error) {
	if len(req) > process.MaxMessage-5 {
		return nil, wire.Errorf(wire.KindInvalid, "request of %d bytes", len(req))
	}
	in.out = binary.LittleEndian.AppendUint32(append(in.out[:0], process.FrameCall), uint32(op))
	in.out = append(in.out, req...)
	return in.exchange(ctx, timeout, in.out)
}

// exchange sends a frame and serves the plugin's questions until it answers.
func (in *instance) exchange(ctx context.Context, timeout time.Duration, frame []byte) ([]byte, error) {
	if in.fault != nil || in.closed {
		return nil, wire.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	in.output.Begin()
	stop := context.AfterFunc(ctx, func() {
		in.expired.Store(true)
		_ = in.cmd.Process.Kill() // it may have ended by itself
	})
	resp, err := in.talk(ctx, frame)
	if !stop() && err == nil {
		// Killed between its answer and now.
		err = context.DeadlineExceeded
	}
	if err != nil {
		return nil, in.setFault(err, timeout)
	}
	resp, err = wire.ParseResult(resp)
	if err != nil && wire.KindOf(err).Fault() {
		return nil, in.setFault(err, timeout)
	}
	return resp, err
}

func (in *instance) talk(ctx context.Context, frame []byte) ([]byte, error) {
	for {
		if err := in.stream.SendMsg(&process.Frame{Bytes: frame}); err != nil {
			// The reason is read from the stream.
			return nil, errors.Join(in.stream.RecvMsg(&in.in), err)
		}
		if err := in.stream.RecvMsg(&in.in); err != nil {
			return nil, err
		}
		b := in.in.Bytes
		switch {
		case len(b) > 0 && b[0] == process.FrameResult:
			return b[1:], nil
		case len(b) >= 5 && b[0] == process.FrameAsk:
			frame = in.answer(ctx, wire.HostOp(binary.LittleEndian.Uint32(b[1:])), b[5:])
		default:
			return nil, wire.Errorf(wire.KindProtocol, "frame of an unknown kind")
		}
	}
}

func (in *instance) answer(ctx context.Context, op wire.HostOp, req []byte) []byte {
	if in.options.HostCall == nil {
		return wire.AppendResult([]byte{process.FrameAnswer}, nil, wire.Errorf(wire.KindForbidden, "plugin %s may not call the kernel", in.options.Name))
	}
	resp, err := in.options.HostCall(ctx, op, req)
	return wire.AppendResult([]byte{process.FrameAnswer}, resp, err)
}

// setFault kills the process and says why.
func (in *instance) setFault(err error, timeout time.Duration) error {
	known, ok := errors.AsType[*wire.Error](err)
	in.kill()
	text := in.output.Message()
	switch {
	case in.expired.Load():
		in.fault = wire.Errorf(wire.KindDeadline, "no answer within %s", timeout)
	case ok:
		in.fault = known
	case isMemory(text):
		in.fault = wire.Errorf(wire.KindMemory, "more than %d MiB: %s", in.memoryLimit()>>20, firstLine(text))
	case text != "":
		in.fault = wire.Errorf(wire.KindTrap, "%s", text)
	default:
		in.fault = wire.Errorf(wire.KindTrap, "the process ended: %v", err)
	}
	return in.fault
}

// Reserve implements plugin.Instance.
func (in *instance) Reserve(ctx context.Context, n int) ([]byte, error) {
	if in.fault != nil || in.closed {
		return nil, wire.ErrClosed
	}
	if n < 0 || int64(n) > in.memoryLimit() {
		return nil, wire.Errorf(wire.KindMemory, "a region of %d bytes does not fit in %d MiB", n, in.memoryLimit()>>20)
	}
	in.unmap()
	size := int64(n+4095) &^ 4095
	// Truncating first gives zeroed pages, as the other hosts do.
	if err := errors.Join(in.memfd.Truncate(0), in.memfd.Truncate(size)); err != nil {
		return nil, fmt.Errorf("shared memory: %w", err)
	}
	if size > 0 {
		b, err := unix.Mmap(int(in.memfd.Fd()), 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return nil, fmt.Errorf("shared memory: %w", err)
		}
		in.region = b[:n]
	}
	frame := binary.LittleEndian.AppendUint64([]byte{process.FrameRegion}, uint64(n))
	if _, err := in.exchange(ctx, max(time.Second, in.options.Limits.CallTimeout), frame); err != nil {
		return nil, err
	}
	return in.region, nil
}

func (in *instance) unmap() {
	if in.region != nil {
		_ = unix.Munmap(in.region[:cap(in.region)]) // a mapping of our own
		in.region = nil
	}
}

// Region implements plugin.Instance.
func (in *instance) Region() []byte { return in.region }

// Memory is the resident memory of the process.
func (in *instance) Memory() int64 {
	if in.closed || in.fault != nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", in.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b))
	if len(fields) < 2 {
		return 0
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	if err != nil {
		return 0
	}
	return pages * int64(os.Getpagesize())
}

// Close implements plugin.Instance.
func (in *instance) Close() error {
	if in.closed {
		return nil
	}
	if in.fault == nil {
		_, _ = in.Call(context.Background(), wire.OpClose, nil) // a plugin that cannot close is closed all the same
	}
	in.kill()
	in.unmap()
	in.closed = true
	return nil
}

// kill ends the process and waits for it.
func (in *instance) kill() {
	if in.cmd != nil && in.cmd.Process != nil {
		_ = in.cmd.Process.Kill() // it may have ended by itself
	}
	if in.cancel != nil {
		in.cancel()
	}
	if in.client != nil {
		in.client.Kill()
	}
	if in.memfd != nil {
		_ = in.memfd.Close() // nothing is buffered
	}
}

// isMemory tells from a Go program's last words that it ran into its limit: a
// thread that cannot be made is a stack that cannot be mapped.
func isMemory(text string) bool {
	for _, cry := range []string{"out of memory", "cannot allocate memory", "pthread_create failed", "failed to create new OS thread"} {
		if strings.Contains(text, cry) {
			return true
		}
	}
	return false
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

var _ plugin.Instance = (*instance)(nil)
