package process

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pintle-io/pintle/sdk/process"
)

// What a plugin prints comes two ways: go-plugin's server takes the program's
// standard output and error and sends them as messages; what the Go runtime says
// when it dies comes through the pipe.
const (
	printedMethod = "/plugin.GRPCStdio/StreamStdio"
	maxPrinted    = 64 << 10 // one message; go-plugin's have a KiB
)

// pace is how many bytes a second are read of what an instance prints. Beyond,
// the plugin waits when it prints, instead of having the server busy with it.
const pace = 1 << 20

// follow copies the messages to out until the stream ends. It returns at once
// when the plugin sends none.
func follow(ctx context.Context, conn *grpc.ClientConn, out io.Writer) {
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, printedMethod,
		grpc.ForceCodec(rawProto{}), grpc.MaxCallRecvMsgSize(maxPrinted))
	if err == nil {
		err = stream.SendMsg(&process.Frame{}) // google.protobuf.Empty
	}
	if err == nil {
		err = stream.CloseSend()
	}
	var f process.Frame
	for err == nil {
		if err = stream.RecvMsg(&f); err == nil {
			_, err = out.Write(printed(f.Bytes))
		}
	}
}

// printed is the text of a message {channel = 1; data = 2}.
func printed(b []byte) (text []byte) {
	for len(b) > 0 {
		number, kind, n := protowire.ConsumeTag(b)
		if n < 0 {
			return text
		}
		b = b[n:]
		if number == 2 && kind == protowire.BytesType {
			if text, n = protowire.ConsumeBytes(b); n < 0 {
				return nil
			}
		} else if n = protowire.ConsumeFieldValue(number, kind, b); n < 0 {
			return text
		}
		b = b[n:]
	}
	return text
}

// rawProto passes messages of protobuf as bytes.
type rawProto struct{}

func (rawProto) Name() string { return "proto" }

func (rawProto) Marshal(v any) ([]byte, error) {
	f, ok := v.(*process.Frame)
	if !ok {
		return nil, fmt.Errorf("%T is not a frame", v)
	}
	return f.Bytes, nil
}

func (rawProto) Unmarshal(b []byte, v any) error {
	f, ok := v.(*process.Frame)
	if !ok {
		return fmt.Errorf("%T is not a frame", v)
	}
	f.Bytes = append(f.Bytes[:0], b...)
	return nil
}

// paced is a writer that takes so much a second, until ctx ends. It is safe for
// concurrent use.
type paced struct {
	ctx context.Context
	to  io.Writer

	mu    sync.Mutex
	since time.Time // guarded by mu
	n     int       // guarded by mu; bytes since then
}

func (p *paced) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if now.Sub(p.since) >= time.Second {
		p.since, p.n = now, 0
	}
	if p.n += len(b); p.n > pace {
		t := time.NewTimer(p.since.Add(time.Second).Sub(now))
		defer t.Stop()
		select {
		case <-t.C:
		case <-p.ctx.Done(): // it is being killed: its last words are wanted at once
		}
	}
	return p.to.Write(b)
}

var _ encoding.Codec = rawProto{}
