package reconcile_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/utils/clock"

	"github.com/pintle-io/pintle/kernel/reconcile"
)

var a, b = reconcile.Request{Name: "a"}, reconcile.Request{Name: "b"}

// step lets the bubble's time pass.
func step(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func get(t *testing.T, q *reconcile.Queue) reconcile.Request {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	r, ok := q.Get(ctx)
	if !ok {
		t.Fatal("Get: nothing is ready")
	}
	return r
}

func TestQueueHandsOutOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		q.Add(a)
		q.Add(a)
		q.Add(b)
		if got := q.Len(); got != 2 {
			t.Fatalf("Len = %d, want 2", got)
		}
		if got := get(t, q); got != a {
			t.Errorf("first = %v, want a", got)
		}
		q.Add(a) // while a worker has it
		if got := get(t, q); got != b {
			t.Errorf("second = %v, want b: a is being worked on", got)
		}
		if got := q.Len(); got != 0 {
			t.Errorf("Len while a is out = %d, want 0", got)
		}
		q.Done(a, false, 0)
		if got := get(t, q); got != a {
			t.Errorf("after Done = %v, want a again", got)
		}
	})
}

func TestQueueBacksOffAndForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		q.Add(a)
		want := 5 * time.Millisecond
		for range 3 {
			get(t, q)
			q.Done(a, true, 0)
			step(want - time.Millisecond)
			if q.Len() != 0 {
				t.Fatalf("ready before %v", want)
			}
			step(time.Millisecond)
			if q.Len() != 1 {
				t.Fatalf("not ready after %v", want)
			}
			want *= 2
		}
		get(t, q)
		q.Done(a, false, 0) // success forgets
		q.Add(a)
		get(t, q)
		q.Done(a, true, 0)
		step(5 * time.Millisecond)
		if q.Len() != 1 {
			t.Error("back-off was not forgotten after a success")
		}
	})
}

func TestQueueDelays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		q.AddAfter(a, time.Minute)
		q.AddAfter(a, time.Second) // the earlier one counts
		q.AddAfter(a, time.Hour)
		step(time.Second)
		if q.Len() != 1 {
			t.Fatal("not ready after the shortest delay")
		}
		get(t, q)
		q.Done(a, false, 10*time.Second)
		q.Add(a) // a change overtakes the delay
		if q.Len() != 1 {
			t.Fatal("a change must not wait for the delay")
		}
		get(t, q)
		q.Done(a, false, 0)
		step(time.Minute)
		if q.Len() != 0 {
			t.Error("an overtaken delay still fired")
		}
	})
}

// TestQueueCooldown: changes during a rest are one look at its end, and what the
// reconcile itself asks for does not wait for it.
func TestQueueCooldown(t *testing.T) {
	ready := func(t *testing.T, q *reconcile.Queue, want int, when string) {
		t.Helper()
		if got := q.Len(); got != want {
			t.Fatalf("%s: %d ready, want %d", when, got, want)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		q.Add(a)
		get(t, q)
		q.Add(a) // while it is worked on
		q.Cooldown(a, 100*time.Millisecond)
		q.Done(a, false, 0)
		q.Add(a)
		q.Add(b)
		ready(t, q, 1, "another is not held up")
		get(t, q)
		q.Done(b, false, 0)
		step(99 * time.Millisecond)
		ready(t, q, 0, "cooling")
		step(time.Millisecond)
		ready(t, q, 1, "cooled down")
		get(t, q)
		q.Done(a, false, 0)
		step(time.Minute)
		ready(t, q, 0, "once")

		q.Add(a)
		get(t, q)
		q.Add(a)
		q.Cooldown(a, 100*time.Millisecond)
		q.Done(a, false, time.Millisecond)
		step(time.Millisecond)
		ready(t, q, 1, "what was asked for comes during the rest")
		get(t, q)
		q.Done(a, false, 0)
		step(time.Minute)
		ready(t, q, 0, "that look served the change, too")

		q.Add(a)
		get(t, q)
		q.Cooldown(a, 100*time.Millisecond)
		q.Done(a, false, time.Millisecond)
		step(time.Millisecond)
		get(t, q)
		q.Add(a) // a change during the second look
		step(time.Second)
		ready(t, q, 0, "a worker has it")
		q.Done(a, false, 0)
		ready(t, q, 1, "the change is not lost")
		q.Cooldown(b, time.Hour)
		q.Close()
		step(2 * time.Hour)
	})
}

func TestQueueClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		done := make(chan bool)
		go func() {
			_, ok := q.Get(context.WithoutCancel(t.Context()))
			done <- ok
		}()
		q.AddAfter(a, time.Hour)
		q.Close()
		q.Close()
		if ok := <-done; ok {
			t.Error("Get after Close handed something out")
		}
		q.Add(b)
		if q.Len() != 0 {
			t.Error("a closed queue took a request")
		}
	})
}

// TestQueueBoundsWhatIsNamed: a controller cannot fill the process with requests
// that it makes up, now or for later, and is served again when they are done.
func TestQueueBoundsWhatIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := reconcile.NewQueue(clock.RealClock{}, nil)
		long := strings.Repeat("n", 64<<10)
		many := func(first int) (list []reconcile.Request) {
			for i := range 1000 {
				list = append(list, reconcile.Request{Namespace: strconv.Itoa(first + i), Name: long})
			}
			return list
		}
		var err error
		rounds := 0
		for ; err == nil && rounds < 100; rounds++ {
			err = q.AddNamed(many(1000 * rounds))
		}
		if err == nil || !strings.Contains(err.Error(), "more than 128 MiB") || q.Len() != 2000 {
			t.Fatalf("after %d times 64 MiB: %v, %d wait", rounds, err, q.Len())
		}
		if err := q.AddNamed(many(0)); err != nil {
			t.Errorf("what waits already: %v", err)
		}
		for q.Len() > 0 { // they come back in an hour
			q.Done(get(t, q), false, time.Hour)
		}
		if q.AddNamed(many(5000)) == nil {
			t.Error("requests for later do not count")
		}
		step(time.Hour)
		for q.Len() > 0 {
			q.Done(get(t, q), false, 0)
		}
		if err := q.AddNamed(many(5000)); err != nil {
			t.Errorf("an empty queue: %v", err)
		}
		q.Close()
	})
}
