package wasm

import (
	"errors"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestMeterCounts runs a metered loop and wants a yield for every full tank.
func TestMeterCounts(t *testing.T) {
	out, err := meter(loopingModule)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	yields := 0
	_, err = r.NewHostModuleBuilder("pintle").NewFunctionBuilder().WithFunc(func() { yields++ }).Export("yield").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, out, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 10*fuel + 5
	if _, err := m.ExportedFunction("f").Call(ctx, api.EncodeI32(rounds)); err != nil {
		t.Fatal(err)
	}
	// Function 2 yields once by itself; the first tank is full.
	if want := 1 + 10; yields != want {
		t.Errorf("%d rounds yielded %d times, want %d", rounds, yields, want)
	}
}

func TestMeterRefuses(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"no yield":  func(b []byte) []byte { b[31] = 'x'; return b },
		"truncated": func(b []byte) []byte { return b[:len(b)-3] },
		"SIMD":      func(b []byte) []byte { b[len(b)-3] = 0xfd; return b },
		"no code":   func(b []byte) []byte { return b[:8] },
	} {
		if _, err := meter(change(append([]byte(nil), loopingModule...))); err == nil {
			t.Errorf("%s: the module was taken", name)
		} else if name == "no yield" && !errors.Is(err, errNoYield) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
