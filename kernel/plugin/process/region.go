package process

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// region is the memory that a plugin process shares with the kernel: a memfd as
// large as it may ever get, of which pages are taken when they are touched. It
// is sealed before the process gets it: a process that could truncate it would
// have the kernel die of SIGBUS at its next look.
type region struct {
	file   *os.File
	mapped []byte
}

// seals keep the size as it is, and themselves.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

func newRegion(size int64) (*region, error) {
	fd, err := unix.MemfdCreate("pintle-region", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return nil, fmt.Errorf("shared memory: %w", err)
	}
	r := &region{file: os.NewFile(uintptr(fd), "pintle-region")}
	if err := unix.Ftruncate(fd, pages(size)); err != nil {
		return nil, errors.Join(fmt.Errorf("shared memory of %d bytes: %w", size, err), r.close())
	}
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals)
	if err == nil {
		err = sealed(fd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("seal shared memory: %w", err), r.close())
	}
	return r, nil
}

// sealed tells whether a descriptor can be mapped without fear of who else has it.
func sealed(fd int) error {
	have, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if err != nil {
		return err
	}
	if have&seals != seals {
		return fmt.Errorf("seals %#x, want %#x", have, seals)
	}
	return nil
}

func pages(n int64) int64 { return (n + 4095) &^ 4095 }

// reserve maps n zeroed bytes.
func (r *region) reserve(n int) error {
	r.unmap()
	// A hole gives zeroed pages, as the other hosts do, and takes nothing.
	st, err := r.file.Stat()
	if err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	fd := int(r.file.Fd())
	if err := unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, st.Size()); err != nil {
		return fmt.Errorf("shared memory: %w", err)
	}
	if n == 0 {
		return nil
	}
	if r.mapped, err = unix.Mmap(fd, 0, int(pages(int64(n))), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		r.mapped = nil
		return fmt.Errorf("shared memory: %w", err)
	}
	r.mapped = r.mapped[:n]
	return nil
}

func (r *region) unmap() {
	if r.mapped != nil {
		_ = unix.Munmap(r.mapped[:cap(r.mapped)]) // a mapping of our own
		r.mapped = nil
	}
}

// close gives the descriptor back; what is mapped stays until unmap.
func (r *region) close() error { return r.file.Close() }
