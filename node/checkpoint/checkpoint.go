// Package checkpoint keeps on the node's disk what neither the runtime nor the
// API remembers about its pods: one small file per pod. A file is replaced as
// a whole, so that an agent that is killed, or a machine that loses power,
// leaves the old one or the new one.
package checkpoint

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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
func (s *Store) Remove(uid types.UID) error { return s.remove(uid, s.file(uid)) }

func (s *Store) remove(uid types.UID, file string) error {
	if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("allocation of pod %s: %w", uid, err)
	}
	return nil
}

// Sweep forgets the pods that are not known, and what an agent left of theirs
// that was killed while it wrote.
func (s *Store) Sweep(known func(types.UID) bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("allocations: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if uid, ok := owner(e.Name()); ok && !known(uid) {
			errs = append(errs, s.remove(uid, filepath.Join(s.dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// owner is the pod of a record, or of one whose writing was cut off.
func owner(name string) (types.UID, bool) {
	if of, ok := atomicfile.Remnant(name); ok {
		name = of
	}
	uid, ok := strings.CutSuffix(strings.TrimSuffix(name, ".new"), suffix) // .new: of an older agent
	return types.UID(uid), ok
}
