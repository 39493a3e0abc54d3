package process

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/output"
	"github.com/pintle-io/pintle/kernel/plugin/process/sandbox"
	"github.com/pintle-io/pintle/sdk/process"
	"github.com/pintle-io/pintle/sdk/wire"
)

// startTimeout bounds the time from exec to the first answer.
const startTimeout = 15 * time.Second

type instance struct {
	host     *Host
	options  plugin.OpenOptions
	manifest wire.Manifest

	child  *child
	image  *image
	client *goplugin.Client
	conn   *grpc.ClientConn
	stream grpc.ClientStream
	output output.Writer
	region *region

	streams context.Context // of the connection's streams
	cancel  context.CancelFunc
	printed *paced // into output

	out     []byte
	in      process.Frame
	expired atomic.Bool // the deadline killed the process
	fault   *wire.Error
	closed  bool
	over    bool // killed, and waited for
	entered bool // the folder of sockets
}

func (in *instance) start(ctx context.Context, m plugin.Module) (err error) {
	if in.image, err = in.host.images.get(m); err != nil {
		return err
	}
	if in.region, err = newRegion(in.memoryLimit()); err != nil {
		return err
	}
	if err := in.host.sockets.enter(); err != nil {
		return err
	}
	in.entered = true
	in.output.Log = in.options.Log
	c := &child{cmd: &exec.Cmd{ExtraFiles: []*os.File{in.region.file}}, exe: in.image.file,
		spec: sandbox.Spec{Confined: in.host.confined, Memory: in.memoryLimit()}}
	if c.spec.User, err = in.host.users.take(); err != nil {
		return err
	}
	in.child = c
	c.cmd.Env = []string{"GOMEMLIMIT=" + strconv.FormatInt(in.memoryLimit()*9/10, 10), "GOTRACEBACK=single"}
	// The streams outlive the context of Open.
	in.streams, in.cancel = context.WithCancel(context.WithoutCancel(ctx))
	in.printed = &paced{ctx: in.streams, to: &in.output}
	in.client = goplugin.NewClient(&goplugin.ClientConfig{
		HandshakeConfig:  process.Handshake,
		Plugins:          process.Plugins(),
		RunnerFunc:       c.runner,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		StartTimeout:     startTimeout,
		SkipHostEnv:      true,
		Stderr:           in.printed,
		Logger:           hclog.NewNullLogger(),
		UnixSocketConfig: &goplugin.UnixSocketConfig{TempDir: in.host.sockets.dir},
	})
	within, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	defer context.AfterFunc(within, func() { _ = c.Kill(ctx) })() // nobody waits for it any more
	address, err := in.client.Start()
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case within.Err() != nil:
		return wire.Errorf(wire.KindDeadline, "the plugin does not start within %s", startTimeout)
	}
	if errors.Is(err, sandbox.ErrUnsupported) {
		return fmt.Errorf("%w; `pintle server --unconfined-plugins` runs them with all rights of the server", err)
	}
	if err != nil {
		return wire.Errorf(wire.KindABI, "not a Pintle plugin, or it does not start: %s", firstLine(in.explainStart(err)))
	}
	return in.connect(address.String())
}

// connect opens the stream of calls, and that of what the plugin prints.
// go-plugin's own client would serve more besides, for which nothing here has a
// use, and take messages of any size.
func (in *instance) connect(address string) (err error) {
	in.conn, err = grpc.NewClient("passthrough:///plugin", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return in.child.dial(ctx, address) }))
	if err != nil {
		return fmt.Errorf("start plugin: %w", err)
	}
	in.stream, err = in.conn.NewStream(in.streams, &process.Stream, process.Method, grpc.CallContentSubtype(process.Codec),
		grpc.MaxCallRecvMsgSize(process.MaxMessage), grpc.MaxCallSendMsgSize(process.MaxMessage))
	if err != nil {
		return wire.Errorf(wire.KindABI, "not a Pintle plugin: %s", firstLine(in.explainStart(err)))
	}
	go follow(in.streams, in.conn, in.printed) // ends with the connection
	return nil
}

func (in *instance) explainStart(err error) string {
	if s := in.output.Message(); s != "" {
		return s
	}
	return err.Error()
}

func (in *instance) memoryLimit() int64 { return int64(in.options.Limits.MemoryPages) << 16 }

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
		_ = in.child.Kill(ctx) // it may have ended by itself
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
	if err := in.region.reserve(n); err != nil {
		return nil, err
	}
	frame := binary.LittleEndian.AppendUint64([]byte{process.FrameRegion}, uint64(n))
	if _, err := in.exchange(ctx, max(time.Second, in.options.Limits.CallTimeout), frame); err != nil {
		return nil, err
	}
	return in.region.mapped, nil
}

// Region implements plugin.Instance.
func (in *instance) Region() []byte { return in.region.mapped }

// Memory is the resident memory of the process.
func (in *instance) Memory() int64 {
	if in.closed || in.fault != nil {
		return 0
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", in.child.pid()))
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
	in.release()
	in.closed = true
	return nil
}

// kill ends the process and waits for it. What it shared stays mapped: its
// consumer may still look at the region.
func (in *instance) kill() {
	if in.over {
		return
	}
	in.over = true
	if in.cancel != nil {
		in.cancel()
	}
	if in.child != nil {
		_ = in.child.Kill(context.Background()) // it may have ended by itself
		if in.child.spec.SocketDir != "" {
			// go-plugin's client would try to talk to it.
			_ = os.RemoveAll(in.child.spec.SocketDir)
		}
	}
	if in.conn != nil {
		_ = in.conn.Close() // nobody is at the other end
	}
	if in.client != nil {
		in.client.Kill() // waits for it
	}
	if in.child != nil {
		in.host.users.give(in.child.spec.User)
	}
	if in.entered {
		in.host.sockets.leave()
	}
	if in.image != nil {
		in.image.release()
	}
	if in.region != nil {
		_ = in.region.close() // nothing is buffered
	}
}

// release ends the process and gives back all that the instance holds.
func (in *instance) release() {
	in.kill()
	if in.region != nil {
		in.region.unmap()
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
