package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/pintle-io/pintle/node/cgroup"
)

// cgroupName is the cgroup, in every hierarchy, of a node or of the server.
// The node's agent runs in its "agent" child, containers in its "kubepods".
// RATIONALE.md: "Why does a lab's node have a cgroup subtree?"
func cgroupName(name string) string { return "/pintle-lab/" + name }

// killLimit bounds the wait for killed processes to be gone.
const killLimit = 15 * time.Second

func killAll(ctx context.Context, group string) error {
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, killLimit)
	defer cancel()
	return groups.Kill(ctx, group)
}

// removeGroups removes what is left of the lab's cgroups.
func removeGroups() error {
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	return groups.Remove("/pintle-lab")
}

// EnterCgroup moves this process into a cgroup of every hierarchy, making it
// where it is missing. It must be called before the process opens sockets: a
// socket keeps the cgroup that it was made in.
func EnterCgroup(group string) error {
	groups, err := cgroup.Detect()
	if err != nil {
		return err
	}
	if err := groups.Create(group); err != nil {
		return err
	}
	return groups.Join(group, os.Getpid())
}

// unmountBelow detaches every mount below dir, deepest first.
func unmountBelow(dir string) error {
	b, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	var at []string
	for line := range bytes.Lines(b) {
		f := strings.Fields(string(line))
		if len(f) > 1 && (f[1] == dir || strings.HasPrefix(f[1], dir+"/")) {
			at = append(at, f[1])
		}
	}
	var errs []error
	for i := len(at) - 1; i >= 0; i-- {
		if err := syscall.Unmount(at[i], syscall.MNT_DETACH); err != nil && !errors.Is(err, syscall.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", at[i], err))
		}
	}
	return errors.Join(errs...)
}
