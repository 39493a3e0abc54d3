package lab

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// cgroupName is the cgroup, in every hierarchy, of a node or of the server.
// The node's agent runs in its "agent" child, containers in its "kubepods".
func cgroupName(name string) string { return "/pintle-lab/" + name }

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
