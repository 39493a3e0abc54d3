package serve

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"
)

// settleAfter is when a start counts as over: nodes have registered and what
// they asked for has been answered.
const settleAfter = 15 * time.Second

// settle gives back, once, what only the start needed: free memory of the Go
// heap, and the pages of files that were mapped in while thousands of kinds
// were registered. What is still in use comes back from the page cache, a
// fault for each piece.
func (p *Plane) settle(ctx context.Context) {
	select {
	case <-p.kernel.PluginsSynced():
	case <-ctx.Done():
		return
	}
	select {
	case <-time.After(settleAfter):
	case <-ctx.Done():
		return
	}
	debug.FreeOSMemory()
	if err := releaseFilePages(); err != nil {
		p.s.Log.Debug("pages of files are not given back", "error", err)
	}
}

// releaseFilePages unmaps, until they are touched again, the pages of mapped
// files that this process has not changed.
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
