package wasm

import (
	"bytes"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
)

// withData makes a module of a memory of one page, exported as "m", and a data
// section; between them come more sections.
func withData(data []byte, between string) []byte {
	b := []byte("\x00asm\x01\x00\x00\x00" + "\x05\x03\x01\x00\x01" + "\x07\x05\x01\x01m\x02\x00" + between)
	return append(appendU32(append(b, sectionData), uint32(len(data))), data...)
}

// data makes a data section's body of segments "offset, contents".
func data(parts ...any) []byte {
	b := appendU32(nil, uint32(len(parts)/2))
	for i := 0; i < len(parts); i += 2 {
		b = append(appendS32(append(b, 0, opI32Const), int32(parts[i].(int))), opEnd)
		b = append(appendU32(b, uint32(len(parts[i+1].(string)))), parts[i+1].(string)...)
	}
	return b
}

// TestImage: a guest's memory begins the same, whoever lays it out, and what
// one instance writes no other sees.
func TestImage(t *testing.T) {
	for _, c := range []struct {
		name     string
		module   []byte
		segments int
	}{
		{"plain", withData(data(16, "one", 5000, "two"), ""), 2},
		{"overlapping", withData(data(20, "first", 22, "x", 18, "yyy"), ""), 3},
		{"to the end", withData(data(pageSize-3, "end"), ""), 1},
		{"none", withData(data(), ""), 0},
		{"counted", withData(data(16, "one"), "\x0c\x01\x01"), 0},
		{"passive", withData([]byte("\x02\x01\x01a\x00\x41\x00\x0b\x01b"), ""), 0},
		{"beyond the memory", withData(data(pageSize-2, "end"), ""), 0},
		{"negative", withData(data(-1, "x"), ""), 0},
		{"offset of a global", append([]byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01\x06\x06\x01\x7f\x00\x41\x08\x0b\x07\x05\x01\x01m\x02\x00"), "\x0b\x07\x01\x00\x23\x00\x0b\x01a"...), 0},
		{"truncated", withData(data(16, "one")[:7], ""), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, segments := takeSegments(c.module)
			if len(segments) != c.segments {
				t.Fatalf("%d segments taken, want %d", len(segments), c.segments)
			}
			if c.segments == 0 && !bytes.Equal(code, c.module) && c.name != "none" {
				t.Error("the module was changed")
			}
			img, err := newImage(segments)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := img.close(); err != nil {
					t.Error(err)
				}
			}()
			want := begin(t, c.module, nil, false)
			for range 2 {
				if d := cmp.Diff(begin(t, code, img, true), want); d != "" {
					t.Error(d)
				}
			}
		})
	}
}

// begin answers what the memory of a new instance holds, or why there is none,
// and may scribble over it.
func begin(t *testing.T, code []byte, img *image, scribble bool) string {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	ctx := experimental.WithMemoryAllocator(t.Context(), &memory{limit: 1 << 20, image: img})
	m, err := r.Instantiate(ctx, code)
	if err != nil {
		return err.Error()
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	got := string(b)
	if scribble {
		clear(b)
	}
	return got
}

// TestImageOfHugeSpan: what claims much memory is left to the engine.
func TestImageOfHugeSpan(t *testing.T) {
	b := []byte("\x00asm\x01\x00\x00\x00" + "\x05\x05\x01\x00\x80\x80\x04") // 4 GiB
	d := data(mostImage, "x")
	b = append(appendU32(append(b, sectionData), uint32(len(d))), d...)
	if code, segments := takeSegments(b); segments != nil || !bytes.Equal(code, b) {
		t.Errorf("%d segments taken", len(segments))
	}
}
