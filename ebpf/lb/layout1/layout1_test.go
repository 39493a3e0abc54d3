package layout1

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
)

// The sizes by which this layout is known are those of the objects that a
// machine runs which has it.
func TestSizes(t *testing.T) {
	spec, err := ebpf.LoadCollectionSpec("../../lbtest/layout1.o")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range sizes {
		m := spec.Maps[name]
		if m == nil {
			t.Errorf("map %s: not there", name)
		} else if uintptr(m.KeySize) != want[0] || uintptr(m.ValueSize) != want[1] {
			t.Errorf("map %s: entries of %d and %d bytes, want %d and %d", name, m.KeySize, m.ValueSize, want[0], want[1])
		}
	}
}

func TestOpenNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	if err := os.Mkdir(filepath.Join(dir, "maps"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, ErrForeign) {
		t.Errorf("no map: %v", err)
	}
	if err := Remove(dir); err != nil {
		t.Error(err)
	}
	if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("removed: %v", err)
	}
}

// What an address of this layout is in the present one.
func TestMapped(t *testing.T) {
	if got := Addr(0x01020304).mapped().W; got != [4]uint32{0, 0, 0xffff0000, 0x01020304} {
		t.Errorf("mapped: %x", got)
	}
	if got := client(clientAddr | 0x01020304); got != Addr(0x01020304).mapped() {
		t.Errorf("client by address: %x", got)
	}
	if got := client(0x0102030405060708).W; got != [4]uint32{0xffffffff, 0xffffffff, 0x05060708, 0x01020304} {
		t.Errorf("client by namespace: %x", got)
	}
}
