package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/pintle-io/pintle/cmd/pintle/internal/daemon"
	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
)

// ownerFile names the data directory of the cluster that this machine is a
// node of. Bridge, routes and local addresses have fixed names, so there is
// one; a node with a cgroup of its own lives in a network namespace of its
// own, too, and does not count.
const ownerFile = "/run/pintle.dir"

// claim makes dir the machine's cluster.
//
// # Errors
//   - another directory's cluster runs here
func claim(file string, dir paths.Dir) error {
	if err := mayTouch(file, dir); err != nil {
		return err
	}
	return os.WriteFile(file, []byte(dir), 0o644)
}

// mayTouch refuses when another directory's cluster runs on this machine:
// starting would take its network, cleaning up would tear it down.
func mayTouch(file string, dir paths.Dir) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	owner := paths.Dir(strings.TrimSpace(string(b)))
	if owner == dir || owner == "" {
		return nil
	}
	pid, err := daemon.Pid(owner.Lock())
	if err != nil || pid == 0 {
		return err
	}
	return fmt.Errorf("the cluster of %[1]s runs on this machine (process %[2]d): `pintle down --data-dir %[1]s` stops it", owner, pid)
}

// disclaim takes the claim of dir back.
func disclaim(file string, dir paths.Dir) error {
	b, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) || err == nil && paths.Dir(strings.TrimSpace(string(b))) != dir {
		return nil
	}
	if err != nil {
		return err
	}
	return os.Remove(file)
}
