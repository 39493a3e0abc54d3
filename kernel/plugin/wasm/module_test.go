package wasm_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/plugin/wasm"
)

// assemble makes a module of sections: id, contents, id, contents …
func assemble(parts ...any) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00")
	for i := 0; i < len(parts); i += 2 {
		body := parts[i+1].(string)
		b = append(b, byte(parts[i].(int)))
		for n := uint(len(body)); ; {
			if n < 0x80 {
				b = append(b, byte(n))
				break
			}
			b = append(b, byte(n)|0x80)
			n >>= 7
		}
		b = append(b, body...)
	}
	return b
}

// The sections that hand-made guests share. Types: () → i32, (i32) → i32,
// (i32 i32) → i64, () → ().
const (
	types     = "\x04\x60\x00\x01\x7f\x60\x01\x7f\x01\x7f\x60\x02\x7f\x7f\x01\x7e\x60\x00\x00"
	functions = "\x04\x00\x01\x02\x01"
	oneMemory = "\x01\x00\x01"
)

// exports of functions first, first+1 … and of the memory.
func exports(first byte) string {
	s := "\x05"
	for i, name := range []string{"pintle_abi", "pintle_scratch", "pintle_call", "pintle_region"} {
		s += string([]byte{byte(len(name))}) + name + "\x00" + string([]byte{first + byte(i)})
	}
	return s + "\x06memory\x02\x00"
}

// guest is a hand-made guest without imports whose pintle_abi, _scratch, _call
// and _region run the given code.
func guest(abi, scratch, call, region string) []byte {
	code := "\x04"
	for _, f := range []string{abi, scratch, call, region} {
		code += string([]byte{byte(len(f) + 2)}) + "\x00" + f + "\x0b"
	}
	return assemble(1, types, 3, functions, 5, oneMemory, 7, exports(0), 10, code)
}

const (
	abi1      = "\x41\x80\x80\x04" // i32.const 1<<16
	abi2      = "\x41\x80\x80\x08" // i32.const 2<<16
	abi3      = "\x41\x80\x80\x0c" // i32.const 3<<16
	constZero = "\x41\x00"
	i64Zero   = "\x42\x00"
)

func module(b []byte) plugin.Module {
	return plugin.Module{Digest: v1alpha1.DigestOf(b), Bytes: b}
}

// hostile is the hostile plugin, built once.
var hostile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hostile")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	out := filepath.Join(dir, "hostile.wasm")
	cmd := exec.Command("go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", out, "./testdata/hostile/cmd/hostile")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
	if b, err := cmd.CombinedOutput(); err != nil {
		return b, err
	}
	return os.ReadFile(out)
})

func hostileModule(t testing.TB) plugin.Module {
	t.Helper()
	b, err := hostile()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, b)
	}
	return module(b)
}

func newHost(t testing.TB) *wasm.Host {
	t.Helper()
	h, err := wasm.New(t.Context(), wasm.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return h
}
