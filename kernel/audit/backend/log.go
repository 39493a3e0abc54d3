package backend

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"gopkg.in/natefinch/lumberjack.v2"
	auditinternal "k8s.io/apiserver/pkg/apis/audit"
	"k8s.io/apiserver/pkg/audit"
)

// The names by which metrics and messages call backends, as upstream's plugins.
const (
	LogName      = "log"
	WebhookName  = "webhook"
	BufferName   = "buffered"
	TruncateName = "truncate"
)

// The formats of a log.
const (
	FormatJSON   = "json"   // an audit.k8s.io/v1 Event a line
	FormatLegacy = "legacy" // a line of text, without bodies and annotations
)

// File says where a log is kept and for how long.
type File struct {
	Path       string // "-" is standard output
	MaxSize    int    // megabytes, from which it is put aside; 0: never
	MaxBackups int    // files put aside; 0: no limit
	MaxAge     int    // days that they are kept; 0: no limit
	Compress   bool   // files put aside
}

// Open opens the file, whose directory is made if need be. Only the owner of the
// process reads either.
func (f File) Open() (io.WriteCloser, error) {
	if f.Path == "-" {
		return stdout{os.Stdout}, nil
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o700); err != nil {
		return nil, err
	}
	out, err := os.OpenFile(f.Path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil || f.MaxSize == 0 {
		return out, err
	}
	if err := out.Close(); err != nil {
		return nil, err
	}
	return &lumberjack.Logger{Filename: f.Path, MaxSize: f.MaxSize, MaxBackups: f.MaxBackups, MaxAge: f.MaxAge, Compress: f.Compress}, nil
}

// stdout is the process's, which is not closed.
type stdout struct{ io.Writer }

func (stdout) Close() error { return nil }

// Log writes events as lines.
type Log struct {
	legacy bool
	health *Health

	mu   sync.Mutex
	out  io.WriteCloser // guarded by mu
	torn bool           // the last line has no end; guarded by mu
}

// NewLog makes a Log that writes to out and closes it.
func NewLog(out io.WriteCloser, format string, h *Health) *Log {
	return &Log{out: out, legacy: format == FormatLegacy, health: h}
}

// ProcessEvents implements Backend.
func (l *Log) ProcessEvents(events ...*auditinternal.Event) bool {
	kept := true
	for _, ev := range events {
		if err := l.write(ev); err != nil {
			l.health.Failed(err, 1)
			kept = false
			continue
		}
		l.health.Succeeded()
	}
	return kept
}

func (l *Log) write(ev *auditinternal.Event) error {
	line, err := l.line(ev)
	if err != nil {
		return fmt.Errorf("encode event %s: %w", ev.AuditID, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn {
		// What came of a line when there was no room must not spoil the next.
		if _, err := l.out.Write([]byte{'\n'}); err != nil {
			return err
		}
		l.torn = false
	}
	n, err := l.out.Write(append(line, '\n'))
	l.torn = err != nil && n > 0
	return err
}

func (l *Log) line(ev *auditinternal.Event) ([]byte, error) {
	if l.legacy {
		return []byte(audit.EventString(ev)), nil
	}
	return encode(ev)
}

// Close implements Backend.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := l.out
	l.out = closed{}
	return out.Close()
}

var errClosed = errors.New("the audit log is closed")

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errClosed }
func (closed) Close() error              { return nil }

var _ Backend = (*Log)(nil)
