package reclaim

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFileMappings(t *testing.T) {
	const smaps = `00400000-00500000 r-xp 00000000 fe:00 12 /usr/bin/pintle
Size:               1024 kB
Rss:                 900 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00500000-00600000 r--p 00100000 fe:00 12 /usr/bin/pintle
Rss:                 900 kB
Anonymous:             4 kB
00600000-00700000 rw-p 00200000 fe:00 12 /usr/bin/pintle
Anonymous:             0 kB
7f0000000000-7f0000100000 r--s 00000000 fe:00 13 /var/lib/pintle/a b/db (deleted)
Anonymous:             0 kB
7f0000100000-7f0000200000 r--p 00000000 00:00 0
Anonymous:             0 kB
7fff00000000-7fff00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`
	got, err := fileMappings([]byte(smaps))
	want := []mapping{{0x400000, 0x500000}, {0x7f0000000000, 0x7f0000100000}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %x, %v, want %x", got, err, want)
	}
	if _, err := fileMappings([]byte("not smaps")); err == nil {
		t.Error("no error for something else")
	}
}

// TestReleaseFilePages: pages go, contents stay, and this process goes on.
func TestReleaseFilePages(t *testing.T) {
	const size = 1 << 20
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i >> 12)
	}
	path := filepath.Join(t.TempDir(), "mapped")
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(b)
	before := resident(t, path)
	if err := releaseFilePages(); err != nil {
		t.Fatal(err)
	}
	if after := resident(t, path); before != size/1024 || after != 0 {
		t.Errorf("%d kB mapped before, %d after, want %d and 0", before, after, size/1024)
	}
	if string(b) != string(want) {
		t.Error("the contents differ")
	}
}

// resident is how much of a mapped file is in this process's page table, in kB.
func resident(t *testing.T, path string) (kB int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(b), " "+path+"\n")
	if !ok {
		t.Fatal("the file is not mapped")
	}
	_, rest, _ = strings.Cut(rest, "\nRss:")
	if _, err := fmt.Sscan(rest, &kB); err != nil {
		t.Fatal(err)
	}
	return kB
}
