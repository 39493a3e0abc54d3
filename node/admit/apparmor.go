package admit

import (
	"errors"
	"os"
	"strings"
)

// errNoAppArmor is in upstream's words.
var errNoAppArmor = errors.New("AppArmor is not enabled on the host")

// AppArmor returns why profiles cannot be enforced on a machine whose sysfs is
// mounted at sys; nil when they can. It is asked once: a machine has to boot
// for it to change.
func AppArmor(sys string) error {
	b, err := os.ReadFile(sys + "/module/apparmor/parameters/enabled")
	if err != nil || !strings.HasPrefix(string(b), "Y") {
		return errNoAppArmor
	}
	if _, err := os.Stat(sys + "/kernel/security/apparmor"); err != nil {
		return errNoAppArmor // profiles could not be loaded
	}
	return nil
}
