package wasm

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
)

// TestMeterCounts runs a metered loop and wants a yield for every full tank.
func TestMeterCounts(t *testing.T) {
	m, yields := runMetered(t, loopingModule)
	const rounds = 10*fuel + 5
	if _, err := m.ExportedFunction("f").Call(t.Context(), api.EncodeI32(rounds)); err != nil {
		t.Fatal(err)
	}
	// Function 2 yields once by itself; the first tank is full.
	if want := 1 + 10; *yields != want {
		t.Errorf("%d rounds yielded %d times, want %d", rounds, *yields, want)
	}
}

// runMetered instantiates what meter makes of a module, and counts its yields.
func runMetered(t *testing.T, module []byte) (api.Module, *int) {
	t.Helper()
	out, metered, err := meter(module)
	if err != nil || !metered {
		t.Fatalf("metered %v, error %v", metered, err)
	}
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() { _ = r.Close(ctx) })
	yields := 0
	_, err = r.NewHostModuleBuilder("pintle").NewFunctionBuilder().WithFunc(func() { yields++ }).Export("yield").Instantiate(ctx)
	if err != nil {
		t.Fatal(err)
	}
	m, err := r.InstantiateWithConfig(ctx, out, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	return m, &yields
}

func TestMeterRefuses(t *testing.T) {
	for name, change := range map[string]func(b []byte) []byte{
		"truncated":  func(b []byte) []byte { return b[:len(b)-3] },
		"atomics":    func(b []byte) []byte { b[len(b)-3] = 0xfe; return b },
		"no code":    func(b []byte) []byte { return b[:8] },
		"no helper":  func(b []byte) []byte { b[len(b)-2] = 3; return b }, // call 3, of 0 to 2
		"no counter": func(b []byte) []byte { return globalModule(opGlobalSet, 1) },
		"no reading": func(b []byte) []byte { return globalModule(opGlobalGet, 1) },
	} {
		if _, _, err := meter(change(append([]byte(nil), loopingModule...))); err == nil {
			t.Errorf("%s: the module was taken", name)
		}
	}
	b := append([]byte(nil), loopingModule...)
	b[31] = 'x'
	if _, metered, err := meter(b); metered || err != nil {
		t.Errorf("no yield: metered %v, error %v", metered, err)
	}
}

// globalModule has one global, and a function that uses another.
func globalModule(op, index byte) []byte {
	code := []byte{0, opI32Const, 1, op, index, opEnd}
	if op == opGlobalGet {
		code = []byte{0, op, index, opDrop, opEnd}
	}
	b := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00\x06\x06\x01\x7f\x01\x41\x00\x0b\x0a")
	b = append(b, byte(len(code)+2), 1, byte(len(code)))
	return append(b, code...)
}

// bulkModule imports pintle.yield and exports a memory of four pages and
// "fill", "copy" and "init", each with three operands; it has no globals.
var bulkModule = []byte("\x00asm\x01\x00\x00\x00" +
	"\x01\x0a\x02\x60\x00\x00\x60\x03\x7f\x7f\x7f\x00" +
	"\x02\x10\x01\x06pintle\x05yield\x00\x00" +
	"\x03\x04\x03\x01\x01\x01" +
	"\x05\x03\x01\x00\x04" +
	"\x07\x1a\x04\x01m\x02\x00\x04fill\x00\x01\x04copy\x00\x02\x04init\x00\x03" +
	"\x0c\x01\x01" +
	"\x0a\x27\x03" +
	"\x0b\x00\x20\x00\x20\x01\x20\x02\xfc\x0b\x00\x0b" +
	"\x0c\x00\x20\x00\x20\x01\x20\x02\xfc\x0a\x00\x00\x0b" +
	"\x0c\x00\x20\x00\x20\x01\x20\x02\xfc\x08\x00\x00\x0b" +
	"\x0b\x06\x01\x01\x03abc")

// TestBulkIsTheSame: moving memory in pieces does what the instructions do,
// whichever way the ranges overlap.
func TestBulkIsTheSame(t *testing.T) {
	ctx := t.Context()
	r := wazero.NewRuntime(ctx)
	defer r.Close(ctx)
	if _, err := r.NewHostModuleBuilder("pintle").NewFunctionBuilder().WithFunc(func() {}).Export("yield").Instantiate(ctx); err != nil {
		t.Fatal(err)
	}
	plain, err := r.InstantiateWithConfig(ctx, bulkModule, wazero.NewModuleConfig())
	if err != nil {
		t.Fatal(err)
	}
	metered, _ := runMetered(t, bulkModule)
	rnd := rand.New(rand.NewPCG(1, 2))
	const size = 4 << 16
	for i := range 2000 {
		name := []string{"fill", "copy", "copy", "copy", "init"}[i%5]
		at, from := rnd.Uint32N(size), rnd.Uint32N(size)
		n := rnd.Uint32N(3 * bulkPiece)
		if i%3 == 0 {
			n = bulkPiece + rnd.Uint32N(3) - 1
		}
		if i%7 == 0 {
			from = at + rnd.Uint32N(9) - 4
		}
		if name == "init" {
			from, n = rnd.Uint32N(3), rnd.Uint32N(3)
		}
		var errs [2]error
		for k, m := range []api.Module{plain, metered} {
			if i == 0 {
				b, _ := m.Memory().Read(0, size)
				for j := range b {
					b[j] = byte(j*j>>8 ^ j)
				}
			}
			_, errs[k] = m.ExportedFunction(name).Call(ctx, uint64(at), uint64(from), uint64(n))
		}
		if (errs[0] == nil) != (errs[1] == nil) {
			t.Fatalf("%s %d %d %d: plain %v, in pieces %v", name, at, from, n, errs[0], errs[1])
		}
		a, _ := plain.Memory().Read(0, size)
		b, _ := metered.Memory().Read(0, size)
		if errs[0] != nil {
			copy(b, a) // a trap ends the instance: what was moved before it is not looked at
		} else if !bytes.Equal(a, b) {
			t.Fatalf("%s %d %d %d: memory differs", name, at, from, n)
		}
	}
}

// TestBulkPays: whoever moves memory yields for every so many bytes.
func TestBulkPays(t *testing.T) {
	m, yields := runMetered(t, bulkModule)
	for range 100 {
		for _, f := range []string{"fill", "copy"} {
			if _, err := m.ExportedFunction(f).Call(t.Context(), 1, 0, 3<<16); err != nil {
				t.Fatal(err)
			}
		}
	}
	if want := 200 * (3 << 16) / (fuel << bulkShift); *yields < want*9/10 || *yields > want*11/10 {
		t.Errorf("%d yields, want about %d", *yields, want)
	}
}

// TestLargeFunctionsPay: a function without a loop costs what it has
// instructions.
func TestLargeFunctionsPay(t *testing.T) {
	code := []byte{0}
	for range 1 << 16 {
		code = append(code, 0x01) // nop
	}
	code = append(code, opEnd)
	body := append(appendU32([]byte{1}, uint32(len(code))), code...)
	b := []byte("\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x02\x10\x01\x06pintle\x05yield\x00\x00\x03\x02\x01\x00\x07\x05\x01\x01f\x00\x01\x0a")
	m, yields := runMetered(t, append(appendU32(b, uint32(len(body))), body...))
	for range 1000 {
		if _, err := m.ExportedFunction("f").Call(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if want := 1000 * (1 << 16) >> weightShift / fuel; *yields < want {
		t.Errorf("%d yields, want at least %d", *yields, want)
	}
}
