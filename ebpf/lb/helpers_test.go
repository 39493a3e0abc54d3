package lb_test

import (
	"fmt"
	"os/exec"
	"testing"

	"github.com/pintle-io/pintle/internal/testenv"
)

func runErr(args ...string) error {
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%v: %w\n%s", args, err, out)
	}
	return nil
}

func run(t testing.TB, args ...string) {
	t.Helper()
	if err := runErr(args...); err != nil {
		t.Fatal(err)
	}
}

func sysctl(t testing.TB, name, value string) {
	t.Helper()
	if err := testenv.Sysctl(name, value); err != nil {
		t.Fatal(err)
	}
}

// addAddr gives the node an address for the time of the test.
func addAddr(t testing.TB, prefix string) {
	t.Helper()
	run(t, "ip", "addr", "add", prefix, "dev", "lo")
	t.Cleanup(func() { run(t, "ip", "addr", "del", prefix, "dev", "lo") })
}
