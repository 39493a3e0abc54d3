package wasm_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/output"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
	"github.com/pintle-io/pintle/sdk/wire"
)

func ask(name string) []byte {
	return wire.AppendReview(nil, wire.ReviewHeader{Operation: "CREATE", Name: name}, nil, nil)
}

// TestHostile: whatever a guest does, its call ends soon with the right fault,
// the garbage collector of this process need not wait, and a new instance works.
func TestHostile(t *testing.T) {
	h, m := newHost(t), hostileModule(t)
	limits := plugin.Limits{MemoryPages: 1024, CallTimeout: 300 * time.Millisecond}
	for _, c := range []struct {
		name string
		op   wire.Op
		want error
		text string
	}{
		{"loop", wire.OpValidate, wire.ErrDeadline, "no answer within 300ms"},
		{"loop with calls", wire.OpValidate, wire.ErrDeadline, ""},
		{"goroutine loop", wire.OpValidate, wire.ErrDeadline, ""},
		{"sleep", wire.OpValidate, wire.ErrDeadline, ""},
		{"exponential", wire.OpValidate, wire.ErrDeadline, ""},
		{"memory", wire.OpValidate, wire.ErrMemory, "more than 64 MiB"},
		{"one huge allocation", wire.OpValidate, wire.ErrMemory, "more than 64 MiB"},
		{"recursion", wire.OpValidate, nil, ""}, // memory, stack or time, whichever ends first
		{"panic", wire.OpValidate, wire.ErrTrap, "panic: as told: panic"},
		{"giant", wire.OpMutate, nil, ""}, // memory or the response's size
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: limits})
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			stalls := watchStalls(t)
			start := time.Now()
			_, err = in.Call(t.Context(), c.op, ask(c.name))
			took := time.Since(start)
			if err == nil || !wire.KindOf(err).Fault() || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %v, want %v with %q", err, c.want, c.text)
			}
			if took > 30*time.Second { // it would loop for ever; a busy machine is no fault
				t.Errorf("the call took %s", took)
			}
			if worst := stalls(); worst > time.Second {
				t.Errorf("the process could not be stopped for %s", worst)
			}
			if _, err := in.Call(t.Context(), wire.OpValidate, ask("")); !errors.Is(err, wire.ErrClosed) {
				t.Errorf("call after the fault: %v, want ErrClosed", err)
			}
		})
	}
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Call(t.Context(), wire.OpValidate, ask("")); err != nil {
		t.Errorf("a new instance does not work: %v", err)
	}
}

// watchStalls collects garbage all the time, which needs every goroutine to
// stop for a moment, and answers how long the longest wait for that was.
func watchStalls(t *testing.T) func() time.Duration {
	ctx, cancel := context.WithCancel(t.Context())
	before := stopping()
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			runtime.GC()
			select {
			case <-ctx.Done():
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	return func() time.Duration {
		cancel()
		wg.Wait()
		after := stopping()
		for i := len(after.Counts) - 1; i >= 0; i-- {
			if after.Counts[i] > before.Counts[i] {
				return time.Duration(after.Buckets[i] * float64(time.Second))
			}
		}
		return 0
	}
}

// stopping is the runtime's histogram of the time from the wish to stop the
// world for garbage collection until it stood still.
func stopping() metrics.Float64Histogram {
	s := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(s)
	return *s[0].Value.Float64Histogram()
}

func TestLoopInOpen(t *testing.T) {
	h, m := newHost(t), hostileModule(t)
	_, err := h.Open(t.Context(), m, plugin.OpenOptions{Config: []byte("loop"), Limits: plugin.Limits{CallTimeout: 100 * time.Millisecond}})
	if !errors.Is(err, wire.ErrDeadline) {
		t.Errorf("error %v, want a deadline", err)
	}
}

func TestCancelStopsLoop(t *testing.T) {
	h, m := newHost(t), hostileModule(t)
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: plugin.Limits{CallTimeout: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	start := time.Now()
	if _, err := in.Call(ctx, wire.OpValidate, ask("loop")); !errors.Is(err, wire.ErrDeadline) {
		t.Errorf("error %v, want a deadline", err)
	}
	if took := time.Since(start); took > 30*time.Second { // a minute is what it may take
		t.Errorf("the call took %s", took)
	}
}

// TestOutputIsBounded: a guest that prints a gigabyte is cut short, in the log
// and in memory.
func TestOutputIsBounded(t *testing.T) {
	h, m := newHost(t), hostileModule(t)
	log, c := &counter{}, clock.RealClock{}
	limited := output.Limit(slog.New(slog.NewTextHandler(log, nil)), output.NewBudget(output.PluginRate, c), output.NewBudget(output.TotalRate, c), c)
	in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: plugin.Limits{CallTimeout: 20 * time.Second}, Log: limited})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := in.Call(t.Context(), wire.OpValidate, ask("output")); err != nil {
		t.Fatal(err)
	}
	if log.n == 0 || log.n > 2<<20 {
		t.Errorf("%d bytes logged, want some and at most 2 MiB", log.n)
	}
}

type counter struct{ n int }

func (c *counter) Write(b []byte) (int, error) { c.n += len(b); return len(b), nil }

var _ io.Writer = (*counter)(nil)

// TestBadModules: what cannot be loaded is refused with a message that says
// why.
func TestBadModules(t *testing.T) {
	h := newHost(t)
	good := hostileModule(t).Bytes
	flipped := append([]byte(nil), good...)
	for i := len(flipped) / 3; i < len(flipped)/3+2000; i++ {
		flipped[i] ^= 0x55
	}
	for _, c := range []struct {
		name  string
		bytes []byte
		kind  wire.Kind
		text  string
	}{
		{"empty", nil, wire.KindABI, "not a WASM module"},
		{"text", []byte("#!/bin/sh\necho hello\n"), wire.KindABI, "not a WASM module"},
		{"an executable", []byte("\x7fELF\x02\x01\x01"), wire.KindABI, "not a WASM module"},
		{"header only", good[:8], wire.KindABI, "not a Pintle plugin"},
		{"truncated", good[:len(good)/2], wire.KindABI, "not a valid WASM module"},
		{"corrupted", flipped, wire.KindABI, "not a valid WASM module"},
		{"not a plugin", assemble(1, types, 3, "\x01\x00", 7, "\x01\x03foo\x00\x00", 10, "\x01\x04\x00\x41\x00\x0b"), wire.KindABI, "does not export pintle_abi"},
		{"an older major", guest(abi1, constZero, i64Zero, constZero), wire.KindABI,
			fmt.Sprintf("the plugin speaks ABI 1.0, this server %d.%d: build the plugin anew with the SDK of this release", wire.Major, wire.Minor)},
		{"a newer major", guest(abi3, constZero, i64Zero, constZero), wire.KindABI, fmt.Sprintf("the plugin speaks ABI 3.0, this server %d.%d: upgrade the server", wire.Major, wire.Minor)},
		{"no call", assemble(1, types, 3, "\x01\x00", 5, oneMemory, 7, "\x01\x0apintle_abi\x00\x00", 10, "\x01\x07\x00\x41\x80\x80\x08\x0b\x0b"), wire.KindABI, ""},
		{"unknown import", assemble(1, types, 2, "\x01\x03env\x03foo\x00\x03", 3, functions, 5, oneMemory, 7, exports(1), 10,
			"\x04\x06\x00"+abi2+"\x0b"+"\x04\x00\x41\x00\x0b"+"\x04\x00\x42\x00\x0b"+"\x04\x00\x41\x00\x0b"), 0, "env"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in, err := h.Open(t.Context(), module(c.bytes), plugin.OpenOptions{})
			if err == nil {
				_ = in.Close()
				t.Fatal("it was loaded")
			}
			if c.kind != 0 && wire.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q of kind %v, want %q of kind %v", err, wire.KindOf(err), c.text, c.kind)
			}
		})
	}
}

// TestBadPointers: hand-made guests answer with memory that is not theirs.
func TestBadPointers(t *testing.T) {
	h := newHost(t)
	for _, c := range []struct {
		name string
		body []byte
		want error
		text string
	}{
		{"scratch outside", guest(abi2, "\x41\xff\xff\xff\xff\x07", i64Zero, constZero), wire.ErrProtocol, ""},
		{"empty response", guest(abi2, "\x41\x10", i64Zero, constZero), wire.ErrProtocol, "empty response"},
		{"response outside", guest(abi2, "\x41\x10", "\x42\x80\x80\x80\x80\xf0\xff\xff\xff\xff\x00", constZero), wire.ErrProtocol, ""},
		{"huge response", guest(abi2, "\x41\x10", "\x42\xff\xff\xff\xff\x0f", constZero), wire.ErrProtocol, "response of 4294967295 bytes"},
		{"response beyond the end", guest(abi2, "\x41\x10", "\x42\x82\x80\x80\x80\xf0\xff\x3f", constZero), wire.ErrProtocol, "outside the guest"},
		{"trap", guest(abi2, "\x41\x10", "\x00", constZero), wire.ErrTrap, "unreachable"},
		{"loop without metering", guest(abi2, "\x41\x10", "\x03\x40\x0c\x00\x0b\x00", constZero), wire.ErrDeadline, ""},
		{"endless recursion", guest(abi2, "\x41\x10", "\x20\x00\x20\x01\x10\x02", constZero), wire.ErrTrap, "stack overflow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			limit := 200 * time.Millisecond
			if errors.Is(c.want, wire.ErrTrap) {
				limit = time.Minute // a stack takes its time to overflow
			}
			in, err := h.Open(t.Context(), module(c.body), plugin.OpenOptions{Limits: plugin.Limits{CallTimeout: limit}})
			if err == nil {
				_ = in.Close()
				t.Fatal("it was opened")
			}
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error %q, want %v with %q", err, c.want, c.text)
			}
		})
	}
}

// TestSoak opens, uses, breaks and closes many instances from several
// goroutines, and wants their memory back.
func TestSoak(t *testing.T) {
	h, m := newHost(t), hostileModule(t)
	limits := plugin.Limits{MemoryPages: 1024, CallTimeout: 5 * time.Second}
	before := mapped(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 50 {
				in, err := h.Open(t.Context(), m, plugin.OpenOptions{Limits: limits})
				if err != nil {
					t.Error(err)
					return
				}
				for range 20 {
					if _, err := in.Call(t.Context(), wire.OpValidate, ask("")); err != nil {
						t.Error(err)
					}
				}
				if i%5 == 0 {
					if _, err := in.Call(t.Context(), wire.OpValidate, ask("panic")); !errors.Is(err, wire.ErrTrap) {
						t.Errorf("error %v, want a trap", err)
					}
				}
				if err := in.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if after := mapped(t); after > before+8 {
		t.Errorf("%d mappings of the size of a guest's memory before, %d after", before, after)
	}
}

var _ plugin.Host = (*wasm.Host)(nil)
