package version

import (
	"bytes"
	"debug/elf"
	"sync"
)

// Build names the code of this program: the same name means the same code. It is
// Go's build ID, or where that cannot be read, version and revision.
var Build = sync.OnceValue(func() string {
	if id := buildID("/proc/self/exe"); id != "" {
		return id
	}
	return Pintle + " " + Commit
})

// buildID reads the note that Go's linker writes; "" when there is none.
func buildID(path string) string {
	f, err := elf.Open(path)
	if err != nil {
		return ""
	}
	defer func() { _ = f.Close() }() // it was only read
	s := f.Section(".note.go.buildid")
	if s == nil {
		return ""
	}
	note, err := s.Data()
	// Sizes of name and text, type, and the name, "Go" padded to four bytes.
	if err != nil || len(note) < 16 || !bytes.Equal(note[12:16], []byte("Go\x00\x00")) {
		return ""
	}
	size := f.ByteOrder.Uint32(note[4:8])
	if uint64(size) > uint64(len(note)-16) {
		return ""
	}
	return string(note[16 : 16+size])
}
