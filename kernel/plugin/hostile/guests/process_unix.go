//go:build unix

package guests

import (
	"fmt"
	"os/exec"
	"syscall"
)

// Sleep is for how many seconds the children of act "children" sleep, which
// tells them from others.
const Sleep = "98765.4321"

func init() {
	Register("truncate", func(*Call) error {
		const region = 3
		if err := syscall.Ftruncate(region, 0); err != nil {
			return fmt.Errorf("truncate: %w", err)
		}
		return nil
	})
	Register("children", func(*Call) error {
		c := exec.Command("/bin/sleep", Sleep)
		c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		if err := c.Start(); err != nil {
			return fmt.Errorf("start a child: %w", err)
		}
		return nil
	})
}
