//go:build unix

package process

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"google.golang.org/grpc"

	"github.com/pintle-io/pintle/sdk/serve"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/guest"
)

// patience is how long a process waits for the kernel before it gives up, so
// that none stays behind when the kernel was killed.
const patience = time.Minute

func init() { serve.Process = Serve }

// Serve runs the guest of this process until the kernel ends the stream. It
// does not return before.
func Serve() {
	if os.Getenv(Handshake.MagicCookieKey) != Handshake.MagicCookieValue {
		fmt.Fprintln(os.Stderr, "This is a Pintle plugin. It is started by the kernel: pintle plugin load --host process FILE")
		os.Exit(2)
	}
	s := &server{lonely: time.AfterFunc(patience, func() { os.Exit(3) })}
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: Handshake,
		Plugins:         map[string]plugin.Plugin{Name: grpcPlugin{s: s}},
		Logger:          hclog.NewNullLogger(),
		GRPCServer: func(o []grpc.ServerOption) *grpc.Server {
			return grpc.NewServer(append(o, grpc.MaxRecvMsgSize(MaxMessage), grpc.MaxSendMsgSize(MaxMessage))...)
		},
	})
}

// grpcPlugin is what go-plugin wants to know of the service.
type grpcPlugin struct {
	plugin.NetRPCUnsupportedPlugin
	s *server
}

func (p grpcPlugin) GRPCServer(_ *plugin.GRPCBroker, g *grpc.Server) error {
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "pintle.Plugin",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: Stream.StreamName, ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, st grpc.ServerStream) error { return p.s.serve(st) }}},
	}, p.s)
	return nil
}

func (grpcPlugin) GRPCClient(_ context.Context, _ *plugin.GRPCBroker, c *grpc.ClientConn) (any, error) {
	return c, nil
}

// server is the one instance of this process.
type server struct {
	lonely *time.Timer
	once   sync.Once

	stream grpc.ServerStream
	guest  *guest.Guest
	region []byte
	in     Frame
	out    []byte
}

// serve answers the kernel until it hangs up; then the process is of no use.
func (s *server) serve(st grpc.ServerStream) error {
	err := fmt.Errorf("this process serves one stream")
	s.once.Do(func() {
		s.lonely.Stop()
		s.stream, s.guest = st, guest.New(s.ask)
		err = s.loop()
		// The answer to the last frame is on its way: let it leave.
		time.AfterFunc(100*time.Millisecond, func() { os.Exit(0) })
	})
	return err
}

func (s *server) loop() error {
	for {
		if err := s.stream.RecvMsg(&s.in); err != nil {
			return err
		}
		resp, alive := s.frame(s.in.Bytes)
		s.out = append(append(s.out[:0], FrameResult), resp...)
		if err := s.stream.SendMsg(&Frame{s.out}); err != nil || !alive {
			return err
		}
	}
}

// frame answers one frame; alive is false after a panic.
func (s *server) frame(b []byte) (resp []byte, alive bool) {
	defer func() {
		if p := recover(); p != nil {
			resp, alive = wire.AppendResult(nil, nil, wire.Errorf(wire.KindTrap, "panic: %v\n%s", p, debug.Stack())), false
		}
	}()
	switch {
	case len(b) >= 5 && b[0] == FrameCall:
		return s.guest.Handle(wire.Op(binary.LittleEndian.Uint32(b[1:])), append([]byte(nil), b[5:]...), s.region), true
	case len(b) == 9 && b[0] == FrameRegion:
		err := s.remap(binary.LittleEndian.Uint64(b[1:]))
		return wire.AppendResult(nil, nil, err), true
	}
	return wire.AppendResult(nil, nil, wire.Errorf(wire.KindProtocol, "unknown frame")), true
}

func (s *server) remap(size uint64) error {
	if s.region != nil {
		if err := syscall.Munmap(s.region); err != nil {
			return fmt.Errorf("unmap region: %w", err)
		}
		s.region = nil
	}
	if size == 0 {
		return nil
	}
	b, err := syscall.Mmap(RegionFD, 0, int(size), syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map region: %w", err)
	}
	s.region = b
	return nil
}

// ask puts a question to the kernel during an operation.
func (s *server) ask(op wire.HostOp, req []byte) ([]byte, error) {
	b := binary.LittleEndian.AppendUint32([]byte{FrameAsk}, uint32(op))
	if err := s.stream.SendMsg(&Frame{append(b, req...)}); err != nil {
		return nil, err
	}
	var f Frame
	if err := s.stream.RecvMsg(&f); err != nil {
		return nil, err
	}
	if len(f.Bytes) == 0 || f.Bytes[0] != FrameAnswer {
		return nil, wire.Errorf(wire.KindProtocol, "the kernel did not answer")
	}
	return wire.ParseResult(f.Bytes[1:])
}
