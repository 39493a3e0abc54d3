package embed

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"go.uber.org/zap/zapcore"

	"github.com/pintle-io/pintle/kernel/store"
)

// faults receives etcd's fatal log entries. etcd would exit the process or
// panic there and then; instead the goroutine that failed ends, no write is
// acknowledged any more, and the fault is reported through Server.Err.
type faults struct {
	first    chan error    // holds the first fault
	happened chan struct{} // closed by the first fault
	once     sync.Once
	// closing is set when the member is asked to stop: what it warns of then
	// is of no interest.
	closing atomic.Bool

	mu   sync.Mutex
	last error // guarded by mu; the entry being written
}

func newFaults() *faults { return &faults{first: make(chan error, 1), happened: make(chan struct{})} }

// describe keeps what the entry says. The error behind it stays testable.
func (f *faults) describe(e zapcore.Entry, fields []zapcore.Field) {
	err := errors.New(e.Message)
	for _, field := range fields {
		if cause, ok := field.Interface.(error); ok && field.Type == zapcore.ErrorType {
			err = fmt.Errorf("%s: %w", e.Message, cause)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last = err
}

// OnWrite is called by zap after a fatal entry is written.
func (f *faults) OnWrite(*zapcore.CheckedEntry, []zapcore.Field) {
	f.mu.Lock()
	err := f.last
	f.mu.Unlock()
	f.once.Do(func() {
		f.first <- err
		close(f.happened)
	})
	runtime.Goexit()
}

var _ zapcore.CheckWriteHook = (*faults)(nil)

// explain maps what etcd and the operating system say to errors of this
// package and remedies.
func explain(err error) error {
	var op *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fmt.Errorf("%w: the disk is full, free some space and start again: %w", store.ErrNoSpace, err)
	case errors.As(err, &op) && op.Op == "listen":
		return fmt.Errorf("%w: %w", ErrAddress, err)
	case errors.Is(err, ErrCorrupt):
		return err
	case damaged(err):
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return err
}

// damaged recognizes the faults of reading the log and the database, for
// which etcd has texts only.
func damaged(err error) bool {
	for _, text := range []string{"read WAL", "repair WAL", "open WAL", "recover v3 backend", "invalid database", "checksum error", "crc mismatch"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}
