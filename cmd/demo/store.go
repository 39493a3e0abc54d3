package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

// Limits of a store: its file is written anew with each value.
const (
	maxKeys  = 1000
	maxKey   = 128
	maxValue = 4096
	lockWait = 30 * time.Second
)

var errFull = fmt.Errorf("the store is full: it holds %d keys", maxKeys)

// entry is a value and when it was written: later is the greater number and, of
// equal numbers, the greater name.
type entry struct {
	Value string `json:"value"`
	N     int64  `json:"n"`  // 0: there is no value
	By    string `json:"by"` // of this one write
}

func (e entry) after(o entry) bool { return e.N > o.N || e.N == o.N && e.By > o.By }

// store is the data of one member, in one file of its directory.
type store struct {
	file string
	lock *os.File

	mu   sync.Mutex
	data map[string]entry // guarded by mu; what the file holds
}

// openStore reads what is there, once nobody else has the directory: a pod that
// was deleted by force may run on beside the next one for a moment.
func openStore(ctx context.Context, dir string) (*store, error) {
	lock, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	s := &store{file: filepath.Join(dir, "data.json"), lock: lock, data: map[string]entry{}}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

func (s *store) open(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	for syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: another process has it: %w", s.lock.Name(), ctx.Err())
		}
	}
	b, err := os.ReadFile(s.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.data)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.file, err)
	}
	return nil
}

// close lets the next process have the directory.
func (s *store) close() error { return s.lock.Close() }

// read returns the value of a key, the zero entry for none.
func (s *store) read(_ context.Context, key string) (entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[key], nil
}

// write keeps e unless a later value is there. When it returns nil, that or the
// later one is on the disk.
func (s *store) write(_ context.Context, key string, e entry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	old, found := s.data[key]
	switch {
	case !e.after(old):
		return nil
	case !found && len(s.data) == maxKeys:
		return errFull
	}
	next := maps.Clone(s.data)
	next[key] = e
	b, err := json.Marshal(next)
	if err == nil {
		err = atomicfile.Write(s.file, b, 0o600)
	}
	if err != nil {
		return err
	}
	s.data = next
	return nil
}
