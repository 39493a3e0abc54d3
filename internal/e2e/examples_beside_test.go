package e2e

import (
	"context"
	"strings"
	"testing"
)

// watchesBudget follows the pods of the example from when there are four that are
// ready; from then on there are three at any time.
func watchesBudget(t *testing.T, c *cluster) (end func()) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	seen := make(chan string, 1)
	go func() {
		out, _ := c.tryKubectl(ctx, "", "get", "pods", "-l", "app=web", "-w", "-o",
			`jsonpath={.metadata.name} {.status.conditions[?(@.type=="Ready")].status} {.metadata.deletionTimestamp}{"\n"}`)
		seen <- out // it was ended
	}()
	return func() {
		cancel()
		out := <-seen
		ready, least := map[string]bool{}, 0
		for _, l := range strings.Split(strings.TrimSpace(out), "\n") {
			f := strings.Fields(l)
			if len(f) == 0 {
				continue
			}
			ready[f[0]] = len(f) == 2 && f[1] == "True"
			n := 0
			for _, r := range ready {
				if r {
					n++
				}
			}
			if n == 4 && least == 0 {
				least = 3
			}
			if n < least {
				t.Errorf("%d pods are ready, the budget wants 3, after %q of\n%s", n, l, out)
				return
			}
		}
		if least == 0 || len(ready) < 5 {
			t.Errorf("the watch saw %d pods, not four that were ready and then others:\n%s", len(ready), out)
		}
	}
}
