package lb_test

import (
	"os/exec"
	"testing"
)

func run(t testing.TB, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", args, err, out)
	}
}

// addAddr gives the node an address for the time of the test.
func addAddr(t testing.TB, prefix string) {
	t.Helper()
	run(t, "ip", "addr", "add", prefix, "dev", "lo")
	t.Cleanup(func() { run(t, "ip", "addr", "del", prefix, "dev", "lo") })
}
