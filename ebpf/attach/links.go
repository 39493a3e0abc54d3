package attach

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

// ErrNotSupported is wrapped by errors about what the kernel lacks.
var ErrNotSupported = ebpf.ErrNotSupported

// A Hook is a place in the kernel that runs programs: a [Cgroup] or a [TCX].
type Hook interface {
	attach(p *ebpf.Program) (link.Link, error)
	// has reports whether a link is on this hook.
	has(*link.Info) bool
	String() string
}

// Links are attachments by name, each on one hook.
type Links struct {
	dir string // "": nothing is pinned

	mu   sync.Mutex
	open map[string]link.Link // guarded by mu
}

// NewLinks returns the links that are pinned in dir, on a BPF file system; with
// an empty dir all end with the process.
func NewLinks(dir string) *Links { return &Links{dir: dir, open: map[string]link.Link{}} }

func (l *Links) path(name string) string { return filepath.Join(l.dir, name) }

// Attach makes p the program that the link of this name runs on h: the link that
// is there gets it in one step, else a link is made. Beside programs of others
// on the same hook, all are run.
func (l *Links) Attach(name string, h Hook, p *ebpf.Program) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.attach(name, h, p); err != nil {
		return fmt.Errorf("attach %s to %s: %w", name, h, err)
	}
	return nil
}

func (l *Links) attach(name string, h Hook, p *ebpf.Program) error {
	if have := l.existing(name); have != nil {
		info, err := have.Info()
		if err == nil && h.has(info) {
			l.open[name] = have
			return have.Update(p)
		}
		delete(l.open, name)
		if err := errors.Join(have.Unpin(), have.Close()); err != nil {
			return fmt.Errorf("drop a stale link: %w", err)
		}
	}
	made, err := h.attach(p)
	if err != nil {
		return err
	}
	if l.dir != "" {
		if err := os.MkdirAll(l.dir, 0o700); err != nil {
			return errors.Join(err, made.Close())
		}
		if err := made.Pin(l.path(name)); err != nil {
			return errors.Join(err, made.Close())
		}
	}
	l.open[name] = made
	return nil
}

// existing returns the open or the pinned link of this name, or nil. A pin that
// cannot be opened is removed, since a new link wants its place. l.mu is held.
func (l *Links) existing(name string) link.Link {
	if have := l.open[name]; have != nil {
		return have
	}
	if l.dir == "" {
		return nil
	}
	have, err := link.LoadPinnedLink(l.path(name), nil)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			_ = os.Remove(l.path(name)) // if this fails, Pin says so
		}
		return nil
	}
	return have
}

// Drop detaches the link of this name, if there is one.
func (l *Links) Drop(name string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	have := l.existing(name)
	if have == nil {
		return nil
	}
	delete(l.open, name)
	return errors.Join(have.Unpin(), have.Close())
}

// Names returns the names of the links that are pinned.
func (l *Links) Names() ([]string, error) {
	if l.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	out := make([]string, len(entries))
	for i, e := range entries {
		out[i] = e.Name()
	}
	return out, nil
}

// Rename gives the pinned link of one name another one. A link that had it is
// detached in the same step, unless a process holds it open.
func (l *Links) Rename(from, to string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range []string{from, to} {
		if o := l.open[name]; o != nil {
			delete(l.open, name)
			if err := o.Close(); err != nil {
				return err
			}
		}
	}
	return os.Rename(l.path(from), l.path(to))
}

// Pinned opens the pinned link of this name for the caller, who closes it; nil if
// there is none that can be opened.
func (l *Links) Pinned(name string) (link.Link, error) {
	if l.dir == "" {
		return nil, nil
	}
	p, err := link.LoadPinnedLink(l.path(name), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	return p, err
}

// On reports whether a link is on a hook.
func On(l link.Link, h Hook) (bool, error) {
	info, err := l.Info()
	if err != nil {
		return false, fmt.Errorf("read a link: %w", err)
	}
	return h.has(info), nil
}

// Active reports whether this process has attached anything.
func (l *Links) Active() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.open) > 0
}

// Close gives up the process' hold. What is pinned stays attached.
func (l *Links) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var errs []error
	for name, o := range l.open {
		errs = append(errs, o.Close())
		delete(l.open, name)
	}
	return errors.Join(errs...)
}

// RemoveLinks detaches and unpins every link that is pinned in dir, whether or
// not its process lives. There may be no such directory.
func RemoveLinks(dir string) error {
	pins, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		return err
	}
	var errs []error
	for _, p := range pins {
		errs = append(errs, removeLink(p))
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

func removeLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return fmt.Errorf("open pinned link: %w", err)
	}
	// Detach, since another process may hold the link open. A link whose
	// cgroup or device is gone has nothing to detach from.
	if err := l.Detach(); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOLINK) && !errors.Is(err, ErrNotSupported) {
		return errors.Join(fmt.Errorf("detach %s: %w", filepath.Base(path), err), l.Close())
	}
	return errors.Join(l.Unpin(), l.Close())
}
