package embed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"
	"go.etcd.io/etcd/client/pkg/v3/fileutil"
	"go.etcd.io/etcd/server/v3/storage/schema"
	"go.etcd.io/etcd/server/v3/storage/wal"
	"go.etcd.io/etcd/server/v3/storage/wal/walpb"
)

// Where etcd keeps what, below a member's directory.
func memberDir(dir string) string { return filepath.Join(dir, "etcd", "member") }
func database(dir string) string  { return filepath.Join(memberDir(dir), "snap", "db") }
func logDir(dir string) string    { return filepath.Join(memberDir(dir), "wal") }

// inspect looks at what a member left behind before etcd does, which waits for
// ever, panics in a goroutine of its own or begins an empty cluster over what
// it cannot use. It returns the raft index that the database is at, 0 when
// there is none.
func inspect(c *Config) (index uint64, err error) {
	db, segments := database(c.Dir), segments(c.Dir)
	_, err = os.Stat(db)
	switch noDB := errors.Is(err, os.ErrNotExist); {
	case err != nil && !noDB:
		return 0, err
	case noDB && len(segments) == 0:
		return 0, c.mayBegin()
	case noDB: // the log may hold everything; etcd says when it does not
		return 0, nil
	}
	if index, err = checkDatabase(db); err != nil {
		return 0, err
	}
	if len(segments) == 0 {
		return 0, damage(fmt.Errorf("%s holds no log, and %s is the database of one%s", logDir(c.Dir), db, whole(db)))
	}
	return index, nil
}

// segments are the files of the log, in order.
func segments(dir string) []string {
	names, _ := filepath.Glob(filepath.Join(logDir(dir), "*.wal")) // the pattern is good
	return names
}

// whole tells an operator that a database can be used without its log.
func whole(db string) string {
	return "; the database itself is whole: `pintle store restore --skip-hash-check " + db + "` begins with it"
}

// probeTimeout is how long an etcd that was started by hand, and knows nothing
// of our lock, may take to let go of its database.
const probeTimeout = 200 * time.Millisecond

// checkDatabase reads the database once. A page that is damaged makes bbolt
// panic, and one that is missing a fault; both end here.
// RATIONALE.md: "Why is the database read before etcd reads it?"
func checkDatabase(path string) (index uint64, err error) {
	old := debug.SetPanicOnFault(true) // of this goroutine
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			err = damage(fmt.Errorf("the database %s: %v", path, p))
		}
	}()
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	if info.Size() == 0 {
		return 0, damage(fmt.Errorf("the database %s is empty", path))
	}
	db, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true, Timeout: probeTimeout})
	switch {
	case errors.Is(err, berrors.ErrTimeout):
		return 0, fmt.Errorf("%w: %s is locked by another etcd", ErrInUse, path)
	case errors.Is(err, os.ErrPermission):
		return 0, err
	case err != nil:
		return 0, damage(fmt.Errorf("the database %s: %w", path, err))
	}
	defer db.Close()
	err = db.View(func(tx *bolt.Tx) error {
		if info.Size() < tx.Size() {
			return damage(fmt.Errorf("the database %s ends after %d of %d bytes", path, info.Size(), tx.Size()))
		}
		if meta := tx.Bucket(schema.Meta.Name()); meta != nil {
			if v := meta.Get(schema.MetaConsistentIndexKeyName); len(v) == 8 {
				index = binary.BigEndian.Uint64(v)
			}
		}
		return tx.ForEach(func(_ []byte, b *bolt.Bucket) error { return walk(b) })
	})
	return index, err
}

// walk touches every page that holds keys.
func walk(b *bolt.Bucket) error {
	c := b.Cursor()
	for k, _ := c.First(); k != nil; k, _ = c.Next() {
	}
	return nil
}

// logEnd reads the log to its end: the index of the last entry that was there
// before the present term, whose entries this start has written. ok is false
// when it cannot be read, which is so for moments while etcd writes to it.
func logEnd(dir string) (index uint64, ok bool) {
	defer func() {
		if recover() != nil { // an entry that does not decode
			index, ok = 0, false
		}
	}()
	var readers []fileutil.FileReader
	for _, name := range segments(dir) {
		f, err := os.Open(name)
		if err != nil {
			return 0, false
		}
		defer f.Close()
		readers = append(readers, fileutil.NewFileReader(f))
	}
	var last, term uint64
	d := wal.NewDecoder(readers...)
	for {
		var rec walpb.Record
		switch err := d.Decode(&rec); {
		case errors.Is(err, io.EOF):
			return index, true
		case err != nil:
			return 0, false
		}
		switch rec.GetType() {
		case wal.CrcType:
			d.UpdateCRC(rec.GetCrc())
		case wal.EntryType:
			e := wal.MustUnmarshalEntry(rec.Data)
			if e.GetTerm() > term {
				index, term = last, e.GetTerm()
			}
			last = e.GetIndex()
		}
	}
}

// damage makes an error of what is broken one that says what to do.
func damage(err error) error {
	if errors.Is(err, syscall.EIO) {
		return fmt.Errorf("%w: the disk does not read: %w", ErrCorrupt, err)
	}
	return fmt.Errorf("%w: %w. Restore a snapshot with `pintle store restore FILE`, or put a copy of the directory back", ErrCorrupt, err)
}
