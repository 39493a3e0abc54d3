package wasm

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"
)

// data makes a data section's body of segments "offset, contents".
func data(parts ...any) []byte {
	b := appendU32(nil, uint32(len(parts)/2))
	for i := 0; i < len(parts); i += 2 {
		b = append(appendS32(append(b, 0, opI32Const), int32(parts[i].(int))), opEnd)
		b = append(appendU32(b, uint32(len(parts[i+1].(string)))), parts[i+1].(string)...)
	}
	return b
}

func TestJoinSegments(t *testing.T) {
	zeros := func(n int) string { return strings.Repeat("\x00", n) }
	for _, c := range []struct {
		name     string
		in, want []byte
	}{
		{"none", data(), data()},
		{"touching", data(8, "ab", 10, "cd"), data(8, "abcd")},
		{"small gap", data(8, "ab", 10+mostGap, "cd", 500, "e"), data(8, "ab"+zeros(mostGap)+"cd", 500, "e")},
		{"large gap", data(8, "ab", 11+mostGap, "cd"), data(8, "ab", 11+mostGap, "cd")},
		{"above 2 GiB", data(-8, "ab", -6, "cd"), data(-8, "abcd")},
		{"descending", data(10, "cd", 8, "ab"), data(10, "cd", 8, "ab")},
		{"two runs", data(100, "x", 104, "y", 8, "a", 12, "b"), data(100, "x\x00\x00\x00y", 8, "a\x00\x00\x00b")},
		{"gap with contents", data(10, "x", 8, "a", 12, "b"), data(10, "x", 8, "a", 12, "b")},
		{"many runs", data(90, "a", 80, "a", 70, "a", 60, "a", 50, "a", 40, "a", 30, "a", 20, "a", 10, "a", 11, "b"), nil},
		{"overlapping", data(8, "abc", 10, "d"), data(8, "abc", 10, "d")},
		{"passive", []byte("\x02\x01\x01a\x00\x41\x00\x0b\x01b"), []byte("\x02\x01\x01a\x00\x41\x00\x0b\x01b")},
		{"truncated", data(8, "ab", 10, "cd")[:14], data(8, "ab", 10, "cd")[:14]},
		{"offset of a global", []byte("\x01\x00\x23\x00\x0b\x01a"), []byte("\x01\x00\x23\x00\x0b\x01a")},
	} {
		if c.want == nil {
			c.want = c.in
		}
		if got := joinSegments(c.in); !bytes.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestSanitizeKeepsMemory: a guest's memory begins the same, whether its
// segments were joined or must not be.
func TestSanitizeKeepsMemory(t *testing.T) {
	body := data(16, "one", 30, "two", 1000, "three")
	head := "\x00asm\x01\x00\x00\x00" + "\x05\x03\x01\x00\x01" + "\x07\x05\x01\x01m\x02\x00"
	section := string(appendU32([]byte{sectionData}, uint32(len(body)))) + string(body)
	for name, c := range map[string]struct {
		module   string
		segments byte
	}{
		"joined":  {head + section, 2},
		"counted": {head + "\x0c\x01\x03" + section, 3},
	} {
		out, err := sanitize([]byte(c.module))
		if err != nil {
			t.Fatal(err)
		}
		if n := out[bytes.IndexByte(out[19:], sectionData)+21]; n != c.segments {
			t.Errorf("%s: %d segments, want %d", name, n, c.segments)
		}
		if got, want := memoryOf(t, out), memoryOf(t, []byte(c.module)); !bytes.Equal(got, want) {
			t.Errorf("%s: the memory differs", name)
		}
	}
}

func memoryOf(t *testing.T, code []byte) []byte {
	t.Helper()
	r := wazero.NewRuntimeWithConfig(t.Context(), wazero.NewRuntimeConfigInterpreter())
	defer r.Close(t.Context())
	m, err := r.Instantiate(t.Context(), code)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := m.Memory().Read(0, m.Memory().Size())
	return bytes.Clone(b)
}
