package process

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// rootSockets is where servers of root keep the sockets of their plugins, each
// in a folder named by its process number: the path is short, and users without
// any right can pass through.
const rootSockets = "/run/pintle-plugins"

// sockets is the folder in which each instance gets one of its own. It exists
// while there are instances. It is safe for concurrent use.
type sockets struct {
	dir string

	mu    sync.Mutex
	users int // guarded by mu
}

func newSockets(c Config) *sockets {
	switch {
	case c.SocketDir != "":
		return &sockets{dir: c.SocketDir}
	case os.Geteuid() == 0:
		sweepSockets(rootSockets)
		return &sockets{dir: fmt.Sprintf("%s/%d", rootSockets, os.Getpid())}
	}
	return &sockets{dir: filepath.Join(c.Dir, "run")}
}

// enter makes the folder. Everybody may pass through it, nobody may read it.
func (s *sockets) enter() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.MkdirAll(s.dir, 0o711); err != nil {
		return fmt.Errorf("folder for sockets: %w", err)
	}
	if err := os.Chmod(s.dir, 0o711); err != nil {
		return fmt.Errorf("folder for sockets: %w", err)
	}
	s.users++
	return nil
}

// leave is called once for each enter, when the instance's own folder is gone.
func (s *sockets) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.users--; s.users == 0 {
		_ = os.Remove(s.dir)
	}
}

// sweepSockets removes the folders of servers that are no more.
func sweepSockets(dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		if _, err := os.Stat("/proc/" + e.Name()); os.IsNotExist(err) {
			_ = os.RemoveAll(filepath.Join(dir, e.Name())) // the next start tries again
		}
	}
}
