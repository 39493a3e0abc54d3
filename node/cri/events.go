package cri

import (
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protowire"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/pintle-io/pintle/internal/backoff"
)

// follow keeps a source of events connected, the best that the runtime has:
// CRI's own (containerd 2, CRI-O), else containerd's event service, which
// containerd 1 serves on the same socket. A runtime that has neither is
// polled, and asked again each minute: it may have been upgraded.
func (w *Watcher) follow(ctx context.Context) {
	sources := []func(context.Context, func()) error{w.criEvents, w.containerdEvents}
	retry := backoff.New(500*time.Millisecond, 10*time.Second)
	for ctx.Err() == nil {
		pause := backoff.Jitter(time.Minute)
		for _, source := range sources {
			err := source(ctx, func() {
				retry.Succeeded(w.log)
				w.connected(ctx, true)
			})
			w.connected(ctx, false)
			if ctx.Err() != nil {
				return
			}
			if !isUnimplemented(err) {
				w.log.Debug("runtime events ended", "error", err)
				pause = retry.Again()
				break
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (w *Watcher) connected(ctx context.Context, is bool) {
	select {
	case w.events <- is:
	case <-ctx.Done():
	}
}

func (w *Watcher) criEvents(ctx context.Context, up func()) error {
	stream, err := w.client.runtime.GetContainerEvents(ctx, &runtimeapi.GetEventsRequest{})
	if err != nil {
		return err
	}
	// An unsupported call shows only at the first receive; an idle runtime
	// sends nothing. So the stream counts as a source after its first event.
	for first := true; ; first = false {
		e, err := stream.Recv()
		if err != nil {
			return err
		}
		if first {
			up()
		}
		id := ""
		if e.ContainerEventType == runtimeapi.ContainerEventType_CONTAINER_STOPPED_EVENT {
			id = e.ContainerId
		}
		w.hint(id)
	}
}

const (
	containerdSubscribe = "/containerd.services.events.v1.Events/Subscribe"
	// containerdFilter selects ends of processes in CRI's namespace.
	containerdFilter = `namespace=="k8s.io",topic=="/tasks/exit"`
)

// containerdEvents reads containerd's own events. Three fields of two
// messages are needed, which do not merit another dependency.
func (w *Watcher) containerdEvents(ctx context.Context, up func()) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := w.client.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, containerdSubscribe, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return err
	}
	req := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), containerdFilter)
	if err := stream.SendMsg(&req); err != nil {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	// The server answers a subscription with nothing until an event comes; a
	// server without the service ends the stream at once.
	first := make(chan error, 1)
	frames := make(chan []byte)
	go func() {
		for {
			var b []byte
			if err := stream.RecvMsg(&b); err != nil {
				first <- err
				return
			}
			select {
			case frames <- b:
			case <-ctx.Done():
				first <- ctx.Err()
				return
			}
		}
	}()
	grace := time.NewTimer(time.Second)
	defer grace.Stop()
	for {
		select {
		case err := <-first:
			return err
		case <-grace.C:
			up()
		case b := <-frames:
			if id, ok := mainProcess(b); ok {
				w.hint(id)
			}
		}
	}
}

// mainProcess returns the container that an event envelope is about, if it is
// about its main process and not about a command run in it, as probes do all
// the time.
func mainProcess(envelope []byte) (id string, ok bool) {
	event, _ := field(envelope, 4)
	value, _ := field(event, 2)
	container, _ := field(value, 1)
	process, _ := field(value, 2)
	return string(container), len(container) > 0 && string(process) == string(container)
}

// field finds the last length-delimited field num of a message.
func field(b []byte, num protowire.Number) (value []byte, ok bool) {
	for len(b) > 0 {
		n, typ, size := protowire.ConsumeTag(b)
		if size < 0 {
			return value, ok
		}
		b = b[size:]
		if n == num && typ == protowire.BytesType {
			v, size := protowire.ConsumeBytes(b)
			if size < 0 {
				return value, ok
			}
			value, ok, b = v, true, b[size:]
			continue
		}
		if size = protowire.ConsumeFieldValue(n, typ, b); size < 0 {
			return value, ok
		}
		b = b[size:]
	}
	return value, ok
}

// rawCodec passes messages as the bytes that they are.
type rawCodec struct{}

var errRaw = errors.New("raw codec wants *[]byte")

func (rawCodec) Marshal(v any) ([]byte, error) {
	b, ok := v.(*[]byte)
	if !ok {
		return nil, errRaw
	}
	return *b, nil
}

func (rawCodec) Unmarshal(data []byte, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%w, not %T (%s)", errRaw, v, codes.Internal)
	}
	*b = append([]byte(nil), data...)
	return nil
}

// Name is the content subtype that containerd expects.
func (rawCodec) Name() string { return "proto" }
