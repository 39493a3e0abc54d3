// Package checkpoint keeps on the node's disk what neither the runtime nor the
// API remembers about its pods: one small file per pod. A file is replaced as
// a whole, so that an agent that is killed leaves the old one or the new one.
// It is not forced to the disk: what runs does not survive a crash of the
// machine either.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/internal/atomicfile"
	"github.com/pintle-io/pintle/node/resize"
)

// Store keeps records in a directory. Different pods' may be used at the same
// time; callers see to it that one pod's are not.
// RATIONALE.md: "Why does a node keep a file for each pod?"
type Store struct{ dir string }

// suffix ends the names of records.
const suffix = ".json"

// New makes a store in dir, which is made when something is to be kept.
func New(dir string) *Store { return &Store{dir} }

func (s *Store) file(uid types.UID) string { return filepath.Join(s.dir, string(uid)+suffix) }

// Load returns the record of a pod, nil when there is none.
func (s *Store) Load(uid types.UID) (*resize.Record, error) {
	b, err := os.ReadFile(s.file(uid))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("allocation of pod %s: %w", uid, err)
	}
	r := &resize.Record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("allocation of pod %s: %w", uid, err)
	}
	return r, nil
}

// Save keeps the record of a pod.
func (s *Store) Save(uid types.UID, r *resize.Record) error {
	b, err := json.Marshal(r)
	if err == nil {
		err = s.write(s.file(uid), b)
	}
	if err != nil {
		return fmt.Errorf("allocation of pod %s: %w", uid, err)
	}
	return nil
}

func (s *Store) write(file string, b []byte) error {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	return atomicfile.Write(file, b, 0o600)
}

// Remove forgets a pod. To forget one that is not known is no error.
func (s *Store) Remove(uid types.UID) error {
	return s.each(func(name string, of types.UID) error {
		if of != uid {
			return nil
		}
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("allocation of pod %s: %w", uid, err)
		}
		return nil
	})
}

// Pods lists the pods that there are records of.
func (s *Store) Pods() ([]types.UID, error) {
	var out []types.UID
	err := s.each(func(_ string, uid types.UID) error {
		if !slices.Contains(out, uid) {
			out = append(out, uid)
		}
		return nil
	})
	slices.Sort(out)
	return out, err
}

// each calls f for the files of records, those that a crash cut off included.
func (s *Store) each(f func(name string, uid types.UID) error) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("allocations: %w", err)
	}
	for _, e := range entries {
		name := e.Name()
		if of, ok := atomicfile.Remnant(name); ok {
			name = of
		}
		name = strings.TrimSuffix(name, ".new") // of an older agent
		if uid, ok := strings.CutSuffix(name, suffix); ok {
			if err := f(e.Name(), types.UID(uid)); err != nil {
				return err
			}
		}
	}
	return nil
}
