package wasm

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/sys"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/output"
	"github.com/pintle-io/pintle/sdk/wire"
)

// openTimeout bounds what a module does before it is open.
const openTimeout = 10 * time.Second

type instance struct {
	host     *Host
	digest   string
	module   *module
	options  plugin.OpenOptions
	manifest wire.Manifest

	guest   api.Module
	memory  *memory
	output  output.Writer
	call    api.Function
	scratch api.Function
	reserve api.Function

	scratchAt, scratchLen uint32
	regionAt, regionLen   uint32
	stack                 [2]uint64
	answer                []byte    // to the last host call
	work                  int       // of the host since it last looked at the clock
	pause                 func(int) // spend, made once

	// Of the call under way.
	ctx      context.Context
	deadline time.Time
	done     <-chan struct{}
	timeout  time.Duration

	fault *wire.Error // why the instance is not to be used any more
}

// Open implements plugin.Host.
func (h *Host) Open(ctx context.Context, m plugin.Module, o plugin.OpenOptions) (_ plugin.Instance, err error) {
	o.Limits = o.Limits.WithDefaults()
	compiled, err := h.acquire(ctx, m)
	if err != nil {
		return nil, err
	}
	in := &instance{host: h, digest: m.Digest, module: compiled, options: o}
	in.output.Log, in.pause = o.Log, in.spend
	defer func() {
		if err != nil {
			err = errors.Join(err, in.Close())
		}
	}()
	if err := in.instantiate(ctx); err != nil {
		return nil, err
	}
	if in.manifest, err = plugin.Open(ctx, in.Call, o); err != nil {
		return nil, err
	}
	return in, nil
}

func (in *instance) instantiate(ctx context.Context) (err error) {
	in.memory = &memory{image: in.module.image, limit: uint64(in.options.Limits.MemoryPages) * pageSize}
	config := wazero.NewModuleConfig().WithName("").WithArgs(in.options.Name).WithStartFunctions("_initialize").WithSysWalltime().WithSysNanotime()
	err = in.run(ctx, openTimeout, func(ctx context.Context) error {
		ctx = experimental.WithMemoryAllocator(ctx, in.memory)
		guest, err := in.module.runtime.InstantiateModule(ctx, in.module.compiled, config)
		if err != nil {
			return err
		}
		in.guest = guest
		if err := in.exited(); err != nil { // with code 0, that is no error to the engine
			return err
		}
		abi, err := guest.ExportedFunction(exportABI).Call(ctx)
		if err != nil {
			return err
		}
		if err := wire.CheckVersion(uint32(abi[0])); err != nil {
			return err
		}
		return in.bind()
	})
	return err
}

// bind finds the functions that every guest has.
func (in *instance) bind() error {
	for _, f := range []struct {
		name            string
		to              *api.Function
		params, results []api.ValueType
	}{
		{exportScratch, &in.scratch, []api.ValueType{i32}, []api.ValueType{i32}},
		{exportCall, &in.call, []api.ValueType{i32, i32}, []api.ValueType{i64}},
		{exportRegion, &in.reserve, []api.ValueType{i32}, []api.ValueType{i32}},
	} {
		x := in.guest.ExportedFunction(f.name)
		if x == nil || !signature(x.Definition(), f.params, f.results) {
			return wire.Errorf(wire.KindABI, "the module does not export %s as ABI %d.%d has it", f.name, wire.Major, wire.Minor)
		}
		*f.to = x
	}
	if in.guest.Memory() == nil {
		return wire.Errorf(wire.KindABI, "the module exports no memory")
	}
	return nil
}

func (in *instance) Manifest() wire.Manifest { return in.manifest }

// Call implements plugin.Instance.
func (in *instance) Call(ctx context.Context, op wire.Op, req []byte) ([]byte, error) {
	if in.fault != nil {
		return nil, wire.ErrClosed
	}
	var frame []byte
	err := in.run(ctx, in.options.Limits.CallTimeout, func(ctx context.Context) error {
		if err := in.put(ctx, req); err != nil {
			return err
		}
		in.stack = [2]uint64{uint64(op), uint64(len(req))}
		if err := in.call.CallWithStack(ctx, in.stack[:]); err != nil {
			return err
		}
		at, n := uint32(in.stack[0]>>32), uint32(in.stack[0])
		if n > plugin.MaxResponse {
			return wire.Errorf(wire.KindProtocol, "response of %d bytes", n)
		}
		var ok bool
		if frame, ok = in.guest.Memory().Read(at, n); !ok {
			return wire.Errorf(wire.KindProtocol, "response %#x+%d is outside the guest", at, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	resp, err := wire.ParseResult(frame)
	if err != nil && wire.KindOf(err).Fault() {
		in.setFault(err)
	}
	return resp, err
}

// put copies a request into the guest's scratch area.
func (in *instance) put(ctx context.Context, req []byte) error {
	n := uint32(len(req))
	if in.scratchAt == 0 || n > in.scratchLen {
		want := max(n+n/4, 4096)
		in.stack[0] = uint64(want)
		if err := in.scratch.CallWithStack(ctx, in.stack[:1]); err != nil {
			return err
		}
		in.scratchAt, in.scratchLen = uint32(in.stack[0]), want
	}
	if len(req) > 0 && !in.guest.Memory().Write(in.scratchAt, req) {
		return wire.Errorf(wire.KindProtocol, "scratch area %#x+%d is outside the guest", in.scratchAt, n)
	}
	return nil
}

// Reserve implements plugin.Instance.
func (in *instance) Reserve(ctx context.Context, n int) ([]byte, error) {
	if in.fault != nil {
		return nil, wire.ErrClosed
	}
	if n < 0 || uint64(n) > in.memory.limit {
		return nil, wire.Errorf(wire.KindMemory, "a region of %d bytes does not fit in %d MiB", n, in.memory.limit>>20)
	}
	err := in.run(ctx, max(in.options.Limits.CallTimeout, time.Second), func(ctx context.Context) error {
		in.stack[0] = uint64(uint32(n))
		if err := in.reserve.CallWithStack(ctx, in.stack[:1]); err != nil {
			return err
		}
		in.regionAt, in.regionLen = uint32(in.stack[0]), uint32(n)
		if _, ok := in.guest.Memory().Read(in.regionAt, in.regionLen); !ok || in.regionAt%4096 != 0 {
			return wire.Errorf(wire.KindProtocol, "region %#x+%d is outside the guest or not aligned", in.regionAt, n)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return in.Region(), nil
}

// Region implements plugin.Instance. The guest's memory never moves, so the
// slice stays valid until the next Reserve.
func (in *instance) Region() []byte {
	if in.regionAt == 0 || in.fault != nil {
		return nil
	}
	b, _ := in.guest.Memory().Read(in.regionAt, in.regionLen)
	return b
}

func (in *instance) Memory() int64 { return int64(in.memory.length.Load()) }

// Close implements plugin.Instance.
func (in *instance) Close() error {
	if in.module == nil {
		return nil
	}
	if in.guest != nil && in.fault == nil && in.manifest.Name != "" {
		_, _ = in.Call(context.Background(), wire.OpClose, nil) // a guest that cannot close is closed all the same
	}
	if in.fault == nil {
		in.fault = &wire.Error{Kind: wire.KindClosed}
	}
	var err error
	if in.guest != nil {
		err = in.guest.Close(context.Background())
	}
	if in.memory != nil {
		in.memory.release()
	}
	in.host.release(in.digest, in.module)
	in.module = nil
	return err
}

// run calls into the guest with a deadline and turns what goes wrong into a
// fault.
func (in *instance) run(ctx context.Context, timeout time.Duration, f func(context.Context) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	in.timeout, in.deadline, in.done = timeout, time.Now().Add(timeout), ctx.Done()
	if d, ok := ctx.Deadline(); ok && d.Before(in.deadline) {
		in.timeout, in.deadline = time.Until(d), d
	}
	if in.module.runtime == in.host.closing {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, in.deadline)
		defer cancel()
	}
	in.output.Begin()
	in.ctx = ctx
	if in.guest != nil {
		if err := in.exited(); err != nil {
			return in.setFault(err)
		}
	}
	defer func() {
		in.ctx = nil
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
		if err != nil {
			err = in.setFault(err)
		}
	}()
	return f(&callContext{ctx, in})
}

// exited is a fault when the guest's program has ended, whatever its exit code
// was. The engine lets a closed module be called all the same.
func (in *instance) exited() error {
	if in.guest.IsClosed() {
		return wire.Errorf(wire.KindTrap, "the module has exited with code 0")
	}
	return nil
}

// setFault marks the instance as unusable and names the reason.
func (in *instance) setFault(err error) error {
	if known, ok := errors.AsType[*wire.Error](err); ok {
		in.fault = known
	} else {
		in.fault = in.explain(err)
	}
	return in.fault
}

// explain turns an error of the engine into a fault of the guest.
func (in *instance) explain(err error) *wire.Error {
	exit, exited := errors.AsType[*sys.ExitError](err)
	text := in.output.Message() // of a Go program that died
	if text == "" && exited {
		text = fmt.Sprintf("the module has exited with code %d", exit.ExitCode())
	} else if text == "" {
		text = err.Error()
	}
	if in.memory != nil && in.memory.refused {
		return wire.Errorf(wire.KindMemory, "more than %d MiB: %s", in.memory.limit>>20, firstLine(text))
	}
	if exited && (exit.ExitCode() == sys.ExitCodeDeadlineExceeded || exit.ExitCode() == sys.ExitCodeContextCanceled) {
		return wire.Errorf(wire.KindDeadline, "no answer within %s", in.timeout)
	}
	return wire.Errorf(wire.KindTrap, "%s", text)
}

func firstLine(s string) string {
	for i := range len(s) {
		if s[i] == '\n' {
			return s[:i]
		}
	}
	return s
}

// hostCall passes a guest's question on to the kernel.
func (in *instance) hostCall(op wire.HostOp, req []byte) ([]byte, error) {
	if in.options.HostCall == nil {
		return nil, wire.Errorf(wire.KindForbidden, "plugin %s may not call the kernel", in.options.Name)
	}
	ctx, cancel := context.WithDeadline(in.ctx, in.deadline)
	defer cancel()
	return in.options.HostCall(ctx, op, req)
}

// sleep serves a guest that sleeps, but not beyond its deadline.
func (in *instance) sleep(ns int64) {
	d := min(time.Duration(ns), time.Until(in.deadline))
	if d <= 0 {
		return
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-in.done:
	}
}

var _ plugin.Instance = (*instance)(nil)
