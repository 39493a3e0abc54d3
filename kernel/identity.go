package kernel

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/pintle-io/pintle/internal/atomicfile"
)

// ErrInUse: another server works in the data directory.
var ErrInUse = errors.New("another server uses the data directory")

// identity is a server's name among those on one store, and the lock that keeps
// another process from having it: "host_3f2a91c05d7e".
//
// It stays with the data directory, so that a server that was killed takes its
// own lease over at once: as long as this process holds the directory's lock, the
// one that took that lease is gone.
type identity struct {
	Name string
	lock *os.File
}

func openIdentity(dir string) (*identity, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(dir, "server.lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = lock.Close() // the first error says more
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s", ErrInUse, dir)
		}
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	id, err := serverID(filepath.Join(dir, "server-id"))
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	host, err := os.Hostname()
	if err != nil {
		host = "pintle"
	}
	return &identity{Name: strings.ToLower(host) + "_" + id, lock: lock}, nil
}

// serverID reads the directory's number, or makes one at the first start.
func serverID(file string) (string, error) {
	b, err := os.ReadFile(file)
	if id := strings.TrimSpace(string(b)); err == nil && len(id) == 12 {
		return id, nil
	}
	if err != nil && !os.IsNotExist(err) {
		return "", err
	}
	var raw [6]byte
	_, _ = rand.Read(raw[:]) // never fails
	id := hex.EncodeToString(raw[:])
	return id, atomicfile.Write(file, []byte(id+"\n"), 0o600)
}

// Close gives the lock up. It is not enough to close the file: a child that is
// being started has it too, until its program begins.
func (i *identity) Close() error {
	return errors.Join(syscall.Flock(int(i.lock.Fd()), syscall.LOCK_UN), i.lock.Close())
}
