package hostclient_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	clocktesting "k8s.io/utils/clock/testing"

	"github.com/pintle-io/pintle/kernel/reconcile/hostclient"
	"github.com/pintle-io/pintle/sdk/client"
	"github.com/pintle-io/pintle/sdk/wire"
)

// TestBudget: writes are bounded in number and in bytes, one by one and in
// batches, and what was saved up comes back with time.
func TestBudget(t *testing.T) {
	b := newBench(t)
	clock := clocktesting.NewFakeClock(time.Now())
	var refused []string
	b.config.Refused = func(what string, err error) { refused = append(refused, fmt.Sprint(what, ": ", err)) }
	fresh := func() { b.config.Budget = hostclient.NewBudget(1, clock) } // 20 objects at once, 4 MiB
	create := func(i int, value string) error { return b.c.Create(config(fmt.Sprintf("m-%d", i), value)) }

	fresh()
	for i := range 20 {
		if err := create(i, ""); err != nil {
			t.Fatalf("object %d: %v", i, err)
		}
	}
	if err := create(20, ""); !errors.Is(err, wire.ErrTooMany) || !strings.Contains(err.Error(), "1 objects a second are allowed, 20 at once; spec.limits.writesPerSecond") {
		t.Errorf("the object after the last: %v", err)
	}
	if err := b.c.Delete(config("m-0", ""), client.DeleteOptions{}); !errors.Is(err, wire.ErrTooMany) {
		t.Errorf("a deletion: %v", err)
	}
	if len(refused) != 2 || !strings.HasPrefix(refused[0], "write: plugin robot writes too much") {
		t.Errorf("what the status is told: %q", refused)
	}
	clock.Step(time.Second)
	if err := create(20, ""); err != nil {
		t.Errorf("a second later: %v", err)
	}

	fresh()
	large := strings.Repeat("x", 900<<10)
	for i := range 4 {
		if err := create(100+i, large); err != nil {
			t.Fatalf("large object %d: %v", i, err)
		}
	}
	if err := create(104, large); !errors.Is(err, wire.ErrTooMany) || !strings.Contains(err.Error(), "16384 bytes a second are allowed, 4194304 at once") {
		t.Errorf("the large object after the last: %v", err)
	}

	fresh()
	batch := func(from, n int) error {
		var ops []client.Op
		for i := range n {
			ops = append(ops, client.Op{Verb: client.VerbCreate, Object: config(fmt.Sprintf("b-%d", from+i), "")})
		}
		_, err := b.c.Batch(ops, false)
		return err
	}
	if err := batch(0, 21); !errors.Is(err, wire.ErrTooMany) {
		t.Errorf("a batch of more than is allowed at once: %v", err)
	}
	if err := errors.Join(batch(0, 15), batch(15, 5)); err != nil {
		t.Errorf("batches of what is allowed: %v", err)
	}
	if err := batch(20, 1); !errors.Is(err, wire.ErrTooMany) {
		t.Errorf("the batch after the last: %v", err)
	}
}
