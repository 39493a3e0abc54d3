// Package native runs plugins that are linked into this binary. It is the
// fastest host and the least safe: a panic is caught and the instance
// discarded, but an endless loop cannot be stopped and memory cannot be
// bounded. It serves what ships with the kernel, and debugging.
// RATIONALE.md: "Why WASM by default, when native is faster?"
package native

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync/atomic"
	"unsafe"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
	"github.com/pintle-io/pintle/sdk/wire/guest"
)

// Host opens plugins that were registered with the SDK in this binary. The
// zero value is ready.
type Host struct{}

// Open starts an instance; the module is not looked at.
func (Host) Open(ctx context.Context, _ plugin.Module, o plugin.OpenOptions) (plugin.Instance, error) {
	in := &instance{}
	in.guest = guest.New(func(op wire.HostOp, req []byte) ([]byte, error) {
		if o.HostCall == nil {
			return nil, wire.Errorf(wire.KindForbidden, "plugin %s may not call the kernel", o.Name)
		}
		return o.HostCall(in.ctx, op, req)
	})
	m, err := plugin.Open(ctx, in.Call, o)
	if err != nil {
		return nil, err
	}
	in.manifest = m
	return in, nil
}

type instance struct {
	manifest wire.Manifest
	guest    *guest.Guest
	ctx      context.Context // of the call under way
	region   []byte
	size     atomic.Int64 // of region: whoever counts memory reads it beside calls
	closed   bool
}

func (in *instance) Manifest() wire.Manifest { return in.manifest }

func (in *instance) Call(ctx context.Context, op wire.Op, req []byte) (resp []byte, err error) {
	if in.closed {
		return nil, wire.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	in.ctx = ctx
	defer func() {
		in.ctx = nil
		if p := recover(); p != nil {
			in.closed = true
			resp, err = nil, wire.Errorf(wire.KindTrap, "panic: %v\n%s", p, debug.Stack())
		}
	}()
	return wire.ParseResult(in.guest.Handle(op, req, in.region))
}

const page = 4096

func (in *instance) Reserve(_ context.Context, n int) ([]byte, error) {
	if in.closed {
		return nil, wire.ErrClosed
	}
	if n < 0 {
		return nil, fmt.Errorf("reserve %d bytes", n)
	}
	b := make([]byte, n+page)
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(b))) & (page - 1))
	in.region = b[skip : skip+n : skip+n]
	in.size.Store(int64(n))
	return in.region, nil
}

func (in *instance) Region() []byte { return in.region }
func (in *instance) Memory() int64  { return in.size.Load() }

func (in *instance) Close() error {
	if !in.closed {
		_, _ = in.Call(context.Background(), wire.OpClose, nil) // a plugin that cannot close is closed all the same
		in.closed, in.region = true, nil
		in.size.Store(0)
	}
	return nil
}

var _ plugin.Host = Host{}
