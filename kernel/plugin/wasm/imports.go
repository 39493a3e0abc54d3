package wasm

import (
	"context"
	"fmt"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/scheduling/vector"
	"github.com/pintle-io/pintle/sdk/wire"
)

// importModule is the name of the module that guests import from.
const importModule = "pintle"

const (
	i32 = api.ValueTypeI32
	i64 = api.ValueTypeI64
)

// imports gives a runtime the functions that guests may import.
//
//	pintle.yield ()                 metering; see meter
//	pintle.call  (op, req, n) → n   asks the kernel; the answer waits
//	pintle.take  (to, n)            fetches the answer
//	pintle_vec.* (…)                vector operations of sdk/scheduling/vector
func imports(ctx context.Context, r wazero.Runtime) error {
	b := r.NewHostModuleBuilder(importModule)
	add := func(b wazero.HostModuleBuilder, name string, f api.GoModuleFunc, params, results []api.ValueType) {
		b.NewFunctionBuilder().WithGoModuleFunction(f, params, results).Export(name)
	}
	add(b, "yield", yield, nil, nil)
	add(b, "call", hostCall, []api.ValueType{i32, i32, i32}, []api.ValueType{i32})
	add(b, "take", take, []api.ValueType{i32, i32}, nil)
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("imports: %w", err)
	}
	b = r.NewHostModuleBuilder(vector.ImportModule)
	for _, im := range vector.Imports() {
		params := make([]api.ValueType, len(im.Params))
		for i, p := range im.Params {
			params[i] = i32
			if p == vector.I64 {
				params[i] = i64
			}
		}
		add(b, im.Name, vectorImport(im), params, nil)
	}
	if _, err := b.Instantiate(ctx); err != nil {
		return fmt.Errorf("vector imports: %w", err)
	}
	return nil
}

// stop is panicked with to end a guest's call from a host function; wazero
// returns it as the call's error.
type stop struct{ err *wire.Error }

func (s stop) Error() string { return s.err.Error() }
func (s stop) Unwrap() error { return s.err }

func stopf(k wire.Kind, format string, args ...any) stop {
	return stop{wire.Errorf(k, format, args...)}
}

// callContext carries the instance to the host functions without the cost of
// a context value.
type callContext struct {
	context.Context
	in *instance
}

type instanceKey struct{}

func (c *callContext) Value(key any) any {
	if _, ok := key.(instanceKey); ok {
		return c.in
	}
	return c.Context.Value(key)
}

// caller finds the instance that calls a host function.
func caller(ctx context.Context) *instance {
	if c, ok := ctx.(*callContext); ok {
		return c.in
	}
	in, _ := ctx.Value(instanceKey{}).(*instance)
	if in == nil {
		panic(stopf(wire.KindProtocol, "host function called outside a call"))
	}
	return in
}

func yield(ctx context.Context, _ api.Module, _ []uint64) {
	caller(ctx).checkTime()
}

// workBetweenLooks is how much work of the host's own is done for a guest
// between two looks at the clock, in bytes, comparisons or the like: some
// tenths of a millisecond. It is not in the guest's meter.
const workBetweenLooks = 1 << 18

// spend counts work that the host did for the guest, and ends the call when it
// has taken too long.
func (in *instance) spend(work int) {
	if in.work += work; in.work >= workBetweenLooks {
		in.work = 0
		in.checkTime()
	}
}

// checkTime ends the call when its time is over or nobody waits for it.
func (in *instance) checkTime() {
	if !in.deadline.IsZero() && time.Now().After(in.deadline) {
		panic(stopf(wire.KindDeadline, "no answer within %s", in.timeout))
	}
	select {
	case <-in.done:
		panic(stopf(wire.KindDeadline, "the call was cancelled"))
	default:
	}
}

// view is a part of guest memory; the guest is stopped when it is not its own.
func view(m api.Module, at, n uint64) []byte {
	b, ok := m.Memory().Read(uint32(at), uint32(n))
	if !ok {
		panic(stopf(wire.KindProtocol, "memory %#x+%d is outside the guest", uint32(at), uint32(n)))
	}
	return b
}

func hostCall(ctx context.Context, m api.Module, s []uint64) {
	in := caller(ctx)
	in.checkTime()
	op, req := wire.HostOp(uint32(s[0])), view(m, s[1], s[2])
	if len(req) > plugin.MaxResponse {
		panic(stopf(wire.KindProtocol, "request of %d bytes", len(req)))
	}
	resp, err := in.hostCall(op, req)
	in.checkTime()
	in.answer = wire.AppendResult(in.answer[:0], resp, err)
	s[0] = uint64(len(in.answer))
}

func take(ctx context.Context, m api.Module, s []uint64) {
	in := caller(ctx)
	in.spend(copy(view(m, s[0], s[1]), in.answer))
	if cap(in.answer) > keepAnswer {
		in.answer = nil
	}
}

// keepAnswer is the largest buffer for answers that an instance keeps.
const keepAnswer = 1 << 20

func vectorImport(im vector.Import) api.GoModuleFunc {
	return func(ctx context.Context, m api.Module, s []uint64) {
		in, memory := caller(ctx), m.Memory()
		if err := im.Call(view(m, 0, uint64(memory.Size())), s, in.pause); err != nil {
			panic(stopf(wire.KindProtocol, "%s: %v", im.Name, err))
		}
	}
}
