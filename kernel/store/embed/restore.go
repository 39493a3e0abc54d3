package embed

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/etcd/etcdutl/v3/snapshot"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// revisionBump is how far the revision jumps at a restoration. Clients may
// know more than the snapshot does; with a jump that they cannot have made,
// they are told 410 Gone and list again instead of missing what is different
// now. It is what upstream advises.
const revisionBump = 1_000_000_000

// Restore makes the data directory of a single member out of a snapshot, as
// Backup or etcdctl writes it, or with skipHash out of the database of a
// member that does not run. What was there is kept beside it under the name
// that is returned, "" when nothing was.
//
// # Errors
//   - ErrInUse when a member runs there
//   - ErrSnapshot, ErrCorrupt when the file is not whole; nothing was changed
func Restore(c Config, file string, skipHash bool) (kept string, err error) {
	if !skipHash {
		if err := CheckSnapshot(file); err != nil {
			return "", fmt.Errorf("%w; with --skip-hash-check the database of a member can be used, too", err)
		}
	}
	if _, err := checkDatabase(file); err != nil {
		return "", err
	}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return "", err
	}
	lock, err := lockDir(c.Dir)
	if err != nil {
		return "", err
	}
	defer lock.release()
	fresh := filepath.Join(c.Dir, "restored")
	if err := os.RemoveAll(fresh); err != nil { // of an attempt that was ended
		return "", err
	}
	cfg, err := (&Config{Dir: c.Dir, Name: c.Name}).etcd(slog.New(slog.DiscardHandler), newFaults())
	if err != nil {
		return "", err
	}
	err = rebuild(snapshot.RestoreConfig{
		SnapshotPath: file, SkipHashCheck: skipHash, OutputDataDir: fresh,
		Name: cfg.Name, PeerURLs: []string{placeholderURL}, InitialCluster: cfg.InitialCluster, InitialClusterToken: cfg.InitialClusterToken,
		RevisionBump: revisionBump, MarkCompacted: true,
	})
	if err != nil {
		return "", errors.Join(fmt.Errorf("restore %s: %w", file, explain(err)), os.RemoveAll(fresh))
	}
	return exchange(filepath.Dir(memberDir(c.Dir)), fresh)
}

// rebuild has etcd restore. What it cannot use, such as the database of another
// program, it takes for fatal: it would end the process, without a word when it
// has no log.
// RATIONALE.md: "Why does a restoration jump a billion revisions?"
func rebuild(c snapshot.RestoreConfig) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: it is no database of etcd: %v", ErrCorrupt, p)
		}
	}()
	return snapshot.NewV3(zap.NewNop().WithOptions(zap.WithFatalHook(zapcore.WriteThenPanic))).Restore(c)
}

// exchange puts fresh in the place of dir, and dir aside.
func exchange(dir, fresh string) (kept string, err error) {
	if _, err := os.Stat(dir); err == nil {
		kept = dir + ".before-" + time.Now().UTC().Format("20060102T150405Z")
		if err := os.Rename(dir, kept); err != nil {
			return "", err
		}
	}
	return kept, os.Rename(fresh, dir)
}
