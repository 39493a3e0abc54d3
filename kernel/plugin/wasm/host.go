// Package wasm runs plugins as WebAssembly modules in wazero. A module has no
// file system, no network and no environment; it reads a clock and random
// numbers. Its memory is capped, its loops are metered (see meter) so that a
// deadline stops them, and after any trap its instance is discarded.
//
// It is the only package that imports wazero.
package wasm

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/sdk/wire"
)

// Config configures a Host.
type Config struct {
	// CacheDir keeps compiled modules over restarts; "" keeps none on disk.
	// See Seed for what ships with the binary.
	CacheDir string
	Log      *slog.Logger
}

// Host compiles modules and opens instances of them. It is safe for
// concurrent use.
type Host struct {
	log     *slog.Logger
	dir     string // of the cache; "" is none
	cache   wazero.CompilationCache
	metered wazero.Runtime
	// closing runs modules that cannot be metered. Its code looks at the
	// context in every loop, which is slow but stops them too.
	closing wazero.Runtime

	mu      sync.Mutex
	modules map[string]*module // by digest; guarded by mu
	idle    []string           // digests without instances, used longest ago first; guarded by mu
	closed  bool               // guarded by mu
}

// maxIdle is how many compiled modules without instances are kept: each holds
// some twenty megabytes.
const maxIdle = 2

// module is a compiled module, shared by its instances.
type module struct {
	ready    chan struct{} // closed when compiled
	compiled wazero.CompiledModule
	runtime  wazero.Runtime
	image    *image // of the memory of its instances; nil when the engine makes it
	err      error
	users    int // guarded by Host.mu
}

// New makes a host; Close releases it.
func New(ctx context.Context, c Config) (*Host, error) {
	h := &Host{log: c.Log, dir: c.CacheDir, modules: map[string]*module{}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	h.cache = wazero.NewCompilationCache()
	if c.CacheDir != "" {
		var err error
		if h.cache, err = wazero.NewCompilationCacheWithDir(c.CacheDir); err != nil {
			return nil, fmt.Errorf("compilation cache: %w", err)
		}
	}
	config := wazero.NewRuntimeConfigCompiler().WithCompilationCache(h.cache).WithDebugInfoEnabled(false)
	h.metered = wazero.NewRuntimeWithConfig(ctx, config)
	h.closing = wazero.NewRuntimeWithConfig(ctx, config.WithCloseOnContextDone(true))
	for _, r := range []wazero.Runtime{h.metered, h.closing} {
		if err := imports(ctx, r); err != nil {
			return nil, errors.Join(err, h.Close(ctx))
		}
		if err := wasi(ctx, r); err != nil {
			return nil, errors.Join(err, h.Close(ctx))
		}
	}
	return h, nil
}

// Close ends all instances and releases what was compiled.
func (h *Host) Close(ctx context.Context) error {
	err := errors.Join(h.metered.Close(ctx), h.closing.Close(ctx), h.cache.Close(ctx))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for digest, m := range h.modules {
		if m.users == 0 { // the others' images go with their last user
			err = errors.Join(err, m.image.close())
			delete(h.modules, digest)
		}
	}
	return err
}

// Compile compiles a module and keeps the result in the cache, so that a
// later Open is fast.
func (h *Host) Compile(ctx context.Context, m plugin.Module) error {
	got, err := h.acquire(ctx, m)
	if err != nil {
		return err
	}
	h.release(m.Digest, got)
	return nil
}

// acquire returns the compiled module and counts a user.
func (h *Host) acquire(ctx context.Context, m plugin.Module) (*module, error) {
	if m.Digest == "" {
		return nil, errors.New("module without a digest")
	}
	h.mu.Lock()
	got := h.modules[m.Digest]
	first := got == nil
	if first {
		got = &module{ready: make(chan struct{})}
		h.modules[m.Digest] = got
	}
	got.users++
	h.mu.Unlock()
	if first {
		got.err = h.compile(ctx, m, got)
		close(got.ready)
	}
	select {
	case <-got.ready:
	case <-ctx.Done():
		h.release(m.Digest, got)
		return nil, ctx.Err()
	}
	if got.err != nil {
		h.mu.Lock()
		if h.modules[m.Digest] == got {
			delete(h.modules, m.Digest)
		}
		h.mu.Unlock()
		return nil, got.err
	}
	return got, nil
}

// release gives a user back. Some modules without users stay compiled: an
// instance is often replaced at once, and a rollback should be quick.
func (h *Host) release(digest string, m *module) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.users--; m.users > 0 || h.modules[digest] != m {
		return
	}
	if h.closed {
		delete(h.modules, digest)
		_ = m.image.close() // nobody is left who could be told
		return
	}
	for i, d := range h.idle {
		if d == digest {
			h.idle = append(h.idle[:i], h.idle[i+1:]...)
			break
		}
	}
	h.idle = append(h.idle, digest)
	for len(h.idle) > maxIdle {
		old := h.idle[0]
		h.idle = h.idle[1:]
		x := h.modules[old]
		if x == nil || x.users > 0 || x.compiled == nil {
			continue
		}
		delete(h.modules, old)
		if err := errors.Join(x.compiled.Close(context.Background()), x.image.close()); err != nil {
			h.log.Warn("closing a compiled module", "digest", old, "error", err)
		}
	}
}

// compile fills in what instances of m need.
func (h *Host) compile(ctx context.Context, m plugin.Module, to *module) error {
	code, err := m.Code()
	if err != nil {
		return fmt.Errorf("read module: %w", err)
	}
	if len(code) < 4 || string(code[:4]) != "\x00asm" {
		return wire.Errorf(wire.KindABI, "not a WASM module")
	}
	if code, err = sanitize(code); err != nil {
		return wire.Errorf(wire.KindABI, "not a valid WASM module: %v", err)
	}
	code, segments := takeSegments(code)
	code, metered, err := meter(code)
	if errors.Is(err, errNoCode) {
		return wire.Errorf(wire.KindABI, "not a Pintle plugin: %v", err)
	}
	if err != nil {
		return wire.Errorf(wire.KindABI, "not a valid WASM module: %v", err)
	}
	runtime := h.metered
	if !metered {
		h.log.Debug("module runs without metering: it does not import pintle.yield", "digest", m.Digest)
		runtime = h.closing
	}
	compiled, err := compile(ctx, runtime, code)
	if err != nil && h.emptyCache(err) {
		compiled, err = compile(ctx, runtime, code)
	}
	if err != nil {
		return wire.Errorf(wire.KindABI, "not a valid WASM module: %v", err)
	}
	if err := checkExports(compiled); err != nil {
		return errors.Join(err, compiled.Close(ctx))
	}
	img, err := newImage(segments)
	if err != nil {
		return errors.Join(err, compiled.Close(ctx))
	}
	to.runtime, to.compiled, to.image = runtime, compiled, img
	return nil
}

// compile validates and compiles code. The engine's validator panics on some
// malformed modules (a function whose type does not exist): fuzzing found it,
// testdata/fuzz holds one.
func compile(ctx context.Context, r wazero.Runtime, code []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			m, err = nil, fmt.Errorf("the engine cannot validate it: %v", p)
		}
	}()
	return r.CompileModule(ctx, code)
}

// The functions that a guest exports.
const (
	exportABI     = "pintle_abi"
	exportScratch = "pintle_scratch"
	exportCall    = "pintle_call"
	exportRegion  = "pintle_region"
)

// checkExports refuses a module that is not a plugin. The other exports are
// checked after the version: another major may have others.
func checkExports(m wazero.CompiledModule) error {
	f, ok := m.ExportedFunctions()[exportABI]
	if !ok || !signature(f, nil, []api.ValueType{api.ValueTypeI32}) {
		return wire.Errorf(wire.KindABI, "not a Pintle plugin: the module does not export %s", exportABI)
	}
	return nil
}

func signature(f api.FunctionDefinition, params, results []api.ValueType) bool {
	return string(f.ParamTypes()) == string(params) && string(f.ResultTypes()) == string(results)
}

var _ plugin.Host = (*Host)(nil)
