// Package ipam gives out the addresses of one range, and remembers in a
// directory who has which: one file per attachment, whose name says address and
// owner, so that looking one up reads no file.
//
// A [Store] is made for short-lived processes that run at the same time and may
// be killed at any moment: everything is done under a lock on the directory,
// and a file appears whole or not at all. It holds until the machine restarts;
// pods end then, and whoever prepares the node empties the directory (see
// [NewBoot]).
package ipam

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrExhausted says that every address of the range is given.
var ErrExhausted = errors.New("no address is free")

// An Attachment is one interface of one container. Neither name may be empty or
// have a slash.
type Attachment struct {
	Container string
	Interface string
}

// A Record is an attachment and what was given to it.
type Record struct {
	Attachment
	Addr netip.Addr
}

// A Port is a port of the node that leads to one of the container.
type Port struct {
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"` // tcp or udp
	HostIP        string `json:"hostIP,omitempty"`
}

// Details are what else is remembered of an attachment.
type Details struct {
	Netns string `json:"netns,omitempty"` // path of the network namespace
	Ports []Port `json:"ports,omitempty"`
}

// A Store is a locked directory. Close it soon: others wait.
type Store struct {
	dir  string
	lock *os.File
}

// Files beside the records.
const (
	lockName   = ".lock"
	cursorName = ".last" // the address given last
	bootName   = ".boot"
	newName    = ".new" // a record that is being written
)

// Open locks dir, which it makes if need be, waiting for whoever has it.
func Open(dir string) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockName), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return &Store{dir, f}, nil
}

// Close lets others in. It is not enough to close the file: a child that is being
// started has it too, until its program begins.
func (s *Store) Close() error {
	return errors.Join(unix.Flock(int(s.lock.Fd()), unix.LOCK_UN), s.lock.Close())
}

// List returns all records.
func (s *Store) List() ([]Record, error) { return List(s.dir) }

// List returns the records of dir as they are this moment, without a lock. A
// directory that is not there has none.
func List(dir string) ([]Record, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Record
	for _, e := range entries {
		if r, ok := ParseName(e.Name()); ok {
			out = append(out, r)
		}
	}
	return out, nil
}

func (r Record) name() string {
	return r.Addr.String() + "_" + r.Container + "_" + r.Interface
}

// ParseName reads a record's file name. An interface's name holds no underscore
// to be told from a container's: the last one counts.
func ParseName(name string) (Record, bool) {
	addr, rest, ok := strings.Cut(name, "_")
	if !ok {
		return Record{}, false
	}
	a, err := netip.ParseAddr(addr)
	i := strings.LastIndexByte(rest, '_')
	if err != nil || i < 1 || i == len(rest)-1 {
		return Record{}, false
	}
	return Record{Attachment{rest[:i], rest[i+1:]}, a}, true
}

func (a Attachment) check() error {
	if a.Container == "" || a.Interface == "" || strings.ContainsAny(a.Container+a.Interface, "/\x00") || strings.Contains(a.Interface, "_") {
		return fmt.Errorf("container %q, interface %q: not usable as names", a.Container, a.Interface)
	}
	return nil
}

// Give returns the address of at: the one it has, or the free one after that
// given last, so that an address rests as long as can be before it is another's.
// The first and the last address of the range are never given, nor is the
// gateway.
//
// # Errors
//
// [ErrExhausted] when there is none.
func (s *Store) Give(at Attachment, in netip.Prefix, gateway netip.Addr, d Details) (netip.Addr, error) {
	if err := at.check(); err != nil {
		return netip.Addr{}, err
	}
	records, err := s.List()
	if err != nil {
		return netip.Addr{}, err
	}
	taken := map[netip.Addr]bool{gateway: true}
	for _, r := range records {
		if r.Attachment == at {
			if in.Contains(r.Addr) {
				return r.Addr, s.write(r, d)
			}
			if err := s.remove(r); err != nil { // of a range that is no longer ours
				return netip.Addr{}, err
			}
			continue
		}
		taken[r.Addr] = true
	}
	a, err := next(in.Masked(), s.cursor(), taken)
	if err != nil {
		return a, err
	}
	if err := s.write(Record{at, a}, d); err != nil {
		return a, err
	}
	// Only a hint: without it the search begins at the start.
	_ = os.WriteFile(filepath.Join(s.dir, cursorName), []byte(a.String()), 0o600)
	return a, nil
}

func (s *Store) cursor() netip.Addr {
	b, err := os.ReadFile(filepath.Join(s.dir, cursorName))
	if err != nil {
		return netip.Addr{}
	}
	a, _ := netip.ParseAddr(string(b))
	return a
}

// next returns the first free address of the range after the given one, going
// round at the end.
func next(in netip.Prefix, after netip.Addr, taken map[netip.Addr]bool) (netip.Addr, error) {
	first := in.Addr().Next()
	a := first
	if in.Contains(after) && in.Contains(after.Next()) {
		a = after.Next()
	}
	for start, round := a, 0; ; {
		// The last address has no successor in the range.
		if !in.Contains(a) || !in.Contains(a.Next()) {
			a = first
			round++
		}
		if round > 1 || !in.Contains(a.Next()) {
			return netip.Addr{}, fmt.Errorf("range %s: %w", in, ErrExhausted)
		}
		if !taken[a] {
			return a, nil
		}
		if a = a.Next(); a == start {
			return netip.Addr{}, fmt.Errorf("range %s: %w", in, ErrExhausted)
		}
	}
}

// write keeps a record. It waits for no disk: after a restart of the machine
// nothing of it counts.
func (s *Store) write(r Record, d Details) error {
	b, err := json.Marshal(d)
	if err != nil {
		return err
	}
	tmp := filepath.Join(s.dir, newName)
	if err := os.WriteFile(tmp, b, 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(s.dir, r.name()))
}

func (s *Store) remove(r Record) error {
	err := os.Remove(filepath.Join(s.dir, r.name()))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// Take takes back what at has, if anything.
func (s *Store) Take(at Attachment) error {
	return s.TakeIf(func(r Record) bool { return r.Attachment == at })
}

// TakeIf takes back the records for which f holds.
func (s *Store) TakeIf(f func(Record) bool) error {
	records, err := s.List()
	if err != nil {
		return err
	}
	var errs []error
	for _, r := range records {
		if f(r) {
			errs = append(errs, s.remove(r))
		}
	}
	return errors.Join(errs...)
}

// Find returns the record of at.
func (s *Store) Find(at Attachment) (Record, bool, error) {
	records, err := s.List()
	if err != nil {
		return Record{}, false, err
	}
	for _, r := range records {
		if r.Attachment == at {
			return r, true, nil
		}
	}
	return Record{}, false, nil
}

// maxDetails bounds what is read of one file.
const maxDetails = 1 << 20

// ReadDetails returns what else is remembered of a record of dir.
func ReadDetails(dir string, r Record) (Details, error) {
	var d Details
	path := filepath.Join(dir, r.name())
	st, err := os.Stat(path)
	if err != nil {
		return d, err
	}
	if st.Size() > maxDetails {
		return d, fmt.Errorf("%s: %d bytes", path, st.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return d, fmt.Errorf("read %s: %w", path, err)
	}
	return d, nil
}

// NewBoot empties the store if the machine restarted since it was used, boot
// being a name of this run of the machine. It reports whether it did.
func (s *Store) NewBoot(boot string) (bool, error) {
	path := filepath.Join(s.dir, bootName)
	b, err := os.ReadFile(path)
	if err == nil && string(b) == boot {
		return false, nil
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return false, err
	}
	if err == nil {
		if err := s.TakeIf(func(Record) bool { return true }); err != nil {
			return false, err
		}
	}
	return err == nil, os.WriteFile(path, []byte(boot), 0o600)
}
