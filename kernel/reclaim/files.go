package reclaim

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// releaseFilePages unmaps, until they are touched again, the pages of mapped
// files that this process has not changed: the program's, of which a start or a
// storm needs more than daily life, and the database's. What is still in use
// comes back from the page cache, a fault for each piece.
func releaseFilePages() error {
	b, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	list, err := fileMappings(b)
	for _, m := range list {
		if _, _, code := unix.Syscall(unix.SYS_MADVISE, m.from, m.to-m.from, unix.MADV_DONTNEED); code != 0 {
			err = errors.Join(err, fmt.Errorf("madvise %x-%x: %w", m.from, m.to, code))
		}
	}
	return err
}

// mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// fileMappings reads smaps and lists what maps a file, cannot be written, and
// holds no page of this process's own: what the loader relocated looks like a
// file, and would be lost.
func fileMappings(smaps []byte) (out []mapping, err error) {
	var m mapping
	file := false
	for s := bufio.NewScanner(bytes.NewReader(smaps)); s.Scan(); {
		f := bytes.Fields(s.Bytes())
		if len(f) < 2 {
			continue
		}
		if f[0][len(f[0])-1] != ':' { // "from-to perms offset device inode path"
			if _, err := fmt.Sscanf(string(f[0]), "%x-%x", &m.from, &m.to); err != nil {
				return nil, fmt.Errorf("smaps: %w", err)
			}
			file = len(f) >= 6 && f[5][0] == '/' && f[1][0] == 'r' && f[1][1] == '-'
			continue
		}
		// "Anonymous:" comes once for each mapping.
		if file && string(f[0]) == "Anonymous:" && string(f[1]) == "0" {
			out = append(out, m)
		}
	}
	return out, nil
}
