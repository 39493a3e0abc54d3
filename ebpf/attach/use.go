package attach

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Use reports whether a program of a pinned link uses the map.
func (l *Links) Use(m *ebpf.Map) (bool, error) {
	names, err := l.Names()
	if err != nil {
		return false, err
	}
	var programs []ebpf.ProgramID
	for _, name := range names {
		p, err := l.Pinned(name)
		if err != nil || p == nil {
			continue // not a link that runs anything
		}
		id, err := programOf(p)
		if err = errors.Join(err, p.Close()); err != nil {
			return false, err
		}
		programs = append(programs, id)
	}
	return use(programs, m)
}

func programOf(l link.Link) (ebpf.ProgramID, error) {
	info, err := l.Info()
	if err != nil {
		return 0, fmt.Errorf("read a link: %w", err)
	}
	return info.Program, nil
}

// Use reports whether a filter of this name and handle, on a device of this
// network namespace, uses the map.
func (c Classic) Use(m *ebpf.Map) (bool, error) {
	links, err := devices()
	if err != nil {
		return false, err
	}
	var programs []ebpf.ProgramID
	for _, l := range links {
		for _, f := range c.filters(l) {
			programs = append(programs, ebpf.ProgramID(f.Id))
		}
	}
	return use(programs, m)
}

func use(programs []ebpf.ProgramID, m *ebpf.Map) (bool, error) {
	info, err := m.Info()
	if err != nil {
		return false, fmt.Errorf("read a map: %w", err)
	}
	id, ok := info.ID()
	if !ok {
		return false, fmt.Errorf("numbers of maps: %w", ErrNotSupported)
	}
	for _, n := range programs {
		p, err := ebpf.NewProgramFromID(n)
		if errors.Is(err, os.ErrNotExist) {
			continue // of a hook that is gone
		}
		if err != nil {
			return false, fmt.Errorf("open a program: %w", err)
		}
		about, err := p.Info()
		if err = errors.Join(err, p.Close()); err != nil {
			return false, fmt.Errorf("read a program: %w", err)
		}
		if ids, _ := about.MapIDs(); slices.Contains(ids, id) {
			return true, nil
		}
	}
	return false, nil
}
