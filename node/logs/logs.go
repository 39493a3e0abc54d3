// Package logs reads container logs in CRI's format, one record per line:
//
//	2016-10-06T00:17:09.669794202Z stdout F the text
//
// where the tag F ends a line of the container and P says that it goes on in
// the next record. It also rotates log files. It knows nothing of pods.
package logs

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// maxRecord bounds one record; runtimes split lines at 16 KiB.
const maxRecord = 1 << 20

// Record is one line of a log file.
type Record struct {
	Time    time.Time
	Stream  string // "stdout" or "stderr"
	Partial bool
	Text    []byte // without the line's end
}

// Parse takes a line apart; Text refers to line's memory.
func Parse(line []byte) (Record, error) {
	line = bytes.TrimSuffix(line, []byte("\n"))
	stamp, rest, ok := bytes.Cut(line, []byte(" "))
	stream, rest, ok2 := bytes.Cut(rest, []byte(" "))
	if !ok || !ok2 {
		return Record{}, fmt.Errorf("log line not understood: %q", line[:min(len(line), 80)])
	}
	t, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		return Record{}, fmt.Errorf("log line's time: %w", err)
	}
	if s := string(stream); s != "stdout" && s != "stderr" {
		return Record{}, fmt.Errorf("log line's stream %q", s)
	}
	tag, text, _ := bytes.Cut(rest, []byte(" "))
	return Record{Time: t, Stream: string(stream), Partial: len(tag) > 0 && tag[0] == 'P', Text: text}, nil
}

// Options choose what is read.
type Options struct {
	// Follow waits for more until the container has ended.
	Follow bool
	// Tail is how many lines from the end to begin with; nil is all.
	Tail *int64
	// Since leaves out what is older; zero leaves out nothing.
	Since time.Time
	// Timestamps puts the time before each line.
	Timestamps bool
	// Limit is how many bytes to write at most; nil is no limit.
	Limit *int64
	// Stream is "stdout" or "stderr" to read only that; "" is both.
	Stream string
	// Running says whether the container may still write; needed to follow.
	Running func() bool
}

// pollInterval is how often a followed file is looked at.
const pollInterval = 50 * time.Millisecond

// stampFixed keeps all nine digits, so that columns line up.
const stampFixed = "2006-01-02T15:04:05.000000000Z07:00"

var errLimit = errors.New("limit reached")

// Read writes the log at path to w. It returns without error at the end of
// the log, at the limit, or when ctx ends.
func Read(ctx context.Context, path string, o Options, w io.Writer) error {
	f, err := open(ctx, path, o)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if o.Tail != nil {
		if err := seekTail(f, *o.Tail); err != nil {
			return fmt.Errorf("seek in log: %w", err)
		}
	}
	out := &printer{w: w, o: o, left: -1}
	if o.Limit != nil {
		out.left = *o.Limit
	}
	r := bufio.NewReaderSize(f, 64<<10)
	var rest []byte // of a line whose end is not written yet
	for {
		line, err := r.ReadSlice('\n')
		rest = append(rest, line...)
		if len(rest) > maxRecord {
			return errors.New("log line too long")
		}
		switch {
		case err == nil:
			if perr := out.print(rest); perr != nil {
				return ignoreLimit(perr)
			}
			rest = rest[:0]
		case errors.Is(err, bufio.ErrBufferFull):
		case !errors.Is(err, io.EOF):
			return fmt.Errorf("read log: %w", err)
		case !o.Follow:
			return ignoreLimit(out.flush(rest))
		default:
			next, done, ferr := follow(ctx, f, path, o)
			if ferr != nil || done {
				return ferr
			}
			if next != nil {
				_ = f.Close()
				f = next
				r.Reset(f)
			}
		}
	}
}

func ignoreLimit(err error) error {
	if errors.Is(err, errLimit) {
		return nil
	}
	return err
}

// open opens the log; a follower waits for one that is not there yet.
func open(ctx context.Context, path string, o Options) (*os.File, error) {
	for {
		f, err := os.Open(path)
		if err == nil || !o.Follow || !errors.Is(err, fs.ErrNotExist) || !o.Running() {
			return f, err
		}
		if !sleep(ctx) {
			return nil, ctx.Err()
		}
	}
}

func sleep(ctx context.Context) bool {
	t := time.NewTimer(pollInterval)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// follow waits until there may be more to read: in f, or in the file that took
// its place, which it returns. It is done when the container has ended and
// nothing was added since.
func follow(ctx context.Context, f *os.File, path string, o Options) (next *os.File, done bool, err error) {
	at, err := f.Seek(0, io.SeekCurrent)
	if err != nil {
		return nil, false, err
	}
	for {
		running := o.Running() // before looking: what it wrote last is seen then
		here, err := f.Stat()
		if err != nil {
			return nil, false, err
		}
		if here.Size() > at {
			return nil, false, nil
		}
		if there, err := os.Stat(path); err == nil && !os.SameFile(here, there) {
			next, err := os.Open(path)
			return next, false, err
		}
		if !running {
			return nil, true, nil
		}
		if !sleep(ctx) {
			return nil, true, nil
		}
	}
}

// printer writes records in the form that people see.
type printer struct {
	w    io.Writer
	o    Options
	left int64 // bytes; negative is no limit
	open bool  // the line before went on
}

func (p *printer) print(line []byte) error {
	rec, err := Parse(line)
	if err != nil {
		return nil // a line cut short by a crash; upstream skips it too
	}
	if rec.Time.Before(p.o.Since) || p.o.Stream != "" && p.o.Stream != rec.Stream {
		return nil
	}
	var b []byte
	if p.o.Timestamps && !p.open {
		b = append(rec.Time.AppendFormat(nil, stampFixed), ' ')
	}
	b = append(b, rec.Text...)
	if !rec.Partial {
		b = append(b, '\n')
	}
	p.open = rec.Partial
	limited := p.left >= 0 && int64(len(b)) >= p.left
	if limited {
		b = b[:p.left]
	}
	if _, err := p.w.Write(b); err != nil {
		return err
	}
	if p.left >= 0 {
		p.left -= int64(len(b))
	}
	if f, ok := p.w.(interface{ Flush() }); ok && p.o.Follow {
		f.Flush()
	}
	if limited {
		return errLimit
	}
	return nil
}

// flush prints a last line without an end.
func (p *printer) flush(rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	return p.print(rest)
}

// seekTail puts f at the beginning of the n-th line from the end.
func seekTail(f *os.File, n int64) error {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || n <= 0 {
		return err
	}
	buf := make([]byte, 64<<10)
	lines := int64(0)
	for pos := end; pos > 0; {
		size := min(int64(len(buf)), pos)
		pos -= size
		if _, err := f.ReadAt(buf[:size], pos); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		for i := size - 1; i >= 0; i-- {
			if buf[i] != '\n' || pos+i == end-1 {
				continue
			}
			if lines++; lines == n {
				_, err := f.Seek(pos+i+1, io.SeekStart)
				return err
			}
		}
	}
	_, err = f.Seek(0, io.SeekStart)
	return err
}

// Tail returns the last lines of a log, at most limit bytes of them, counted
// from the end.
func Tail(path string, lines int64, limit int) ([]byte, error) {
	var b bytes.Buffer
	if err := Read(context.Background(), path, Options{Tail: &lines}, &b); err != nil {
		return nil, err
	}
	out := b.Bytes()
	return out[max(0, len(out)-limit):], nil
}
