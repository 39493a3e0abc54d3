// Package configfile follows a file of configuration while the server runs: who reads
// it brings the function that takes what it says. What cannot be taken changes nothing;
// it is told once, in the log and in the metrics that upstream has for these files.
package configfile

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"k8s.io/apiserver/pkg/util/filesystem"
)

// maxSize bounds a file that is read.
const maxSize = 1 << 20

// Read reads a file of configuration.
//
// # Errors
//   - the file is not there, cannot be read, is empty, or larger than a megabyte
func Read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSize+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxSize:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxSize)
	case len(bytes.TrimSpace(data)) == 0:
		return nil, fmt.Errorf("%s is empty", path)
	}
	return data, nil
}

// TemporaryError is that of a configuration that is right and cannot be taken now: it
// is tried again, although the file does not change.
type TemporaryError struct{ Err error }

func (e *TemporaryError) Error() string { return e.Err.Error() }

// Unwrap returns what went wrong.
func (e *TemporaryError) Unwrap() error { return e.Err }

// Config is what a Follower is made of.
type Config struct {
	Path string
	// What the file configures, for the log: authentication, authorization.
	What string
	// Initial is what has been taken already.
	Initial []byte
	// Apply takes what the file says now, or returns why it cannot. It is not called
	// twice at a time. TemporaryError makes it be called again with the same.
	Apply   func(ctx context.Context, data []byte) error
	Metrics *Metrics     // nil: none
	Log     *slog.Logger // nil discards
}

// The file is read when it changes, and once in a while, as upstream does: not every
// file system tells of changes. Who writes a file first empties it, mostly: it is
// read when it has been left alone for a moment.
const (
	interval = time.Minute
	settled  = 200 * time.Millisecond
)

// Follower follows one file.
type Follower struct {
	cfg   Config
	last  []byte // what has been taken, or refused for good
	told  string // the last failure that was told, with what the file said
	retry bool
}

// New makes a Follower, which does nothing before Run.
func New(c Config) *Follower {
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Metrics.config(c.Initial)
	return &Follower{cfg: c, last: c.Initial}
}

// Run follows the file until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		filesystem.WatchUntil(ctx, interval, f.cfg.Path, func() {
			select {
			case changed <- struct{}{}:
			default: // it will be read
			}
		}, func(err error) { f.cfg.Log.Debug("watching a configuration file", "file", f.cfg.Path, "error", err) })
	}()
	defer func() { <-watched }()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settled): //nolint:forbidigo // whoever writes the file takes real time
		}
		select { // what has happened since is read now, too
		case <-changed:
		default:
		}
		f.check(ctx)
	}
}

// check takes what the file says if that is new.
func (f *Follower) check(ctx context.Context) {
	data, err := Read(f.cfg.Path)
	if err != nil {
		f.failed(ctx, data, err)
		return
	}
	if !f.retry && bytes.Equal(data, f.last) {
		f.told = ""
		return
	}
	err = f.cfg.Apply(ctx, data)
	var temporary *TemporaryError
	f.retry = errors.As(err, &temporary)
	f.last = data
	if err != nil {
		f.failed(ctx, data, err)
		return
	}
	f.told = ""
	f.cfg.Metrics.success(data)
	f.cfg.Log.Info("configuration taken from its file", "of", f.cfg.What, "file", f.cfg.Path)
}

// failed counts a failure, and tells it unless it is the one that was told last.
func (f *Follower) failed(ctx context.Context, data []byte, err error) {
	if ctx.Err() != nil {
		return
	}
	f.cfg.Metrics.failure()
	if now := string(data) + "\x00" + err.Error(); f.told != now {
		f.told = now
		f.cfg.Log.Warn("the configuration file is not taken: what it said before stays in force; mend the file", "of", f.cfg.What, "file", f.cfg.Path, "error", err)
	}
}
