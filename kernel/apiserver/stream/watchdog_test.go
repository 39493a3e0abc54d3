package stream

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestWatchdog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bites := 0
		d := newWatchdog(time.Minute, func() { bites++ })
		sleep := func(d time.Duration) {
			time.Sleep(d)
			synctest.Wait() // for a bite that is under way
		}
		sleep(time.Hour)
		if bites != 0 {
			t.Error("it bit before it was armed")
		}
		d.arm()
		sleep(59 * time.Second)
		d.calm()
		sleep(time.Hour)
		if bites != 0 {
			t.Error("it bit although the write ended in time")
		}
		d.arm()
		sleep(61 * time.Second)
		if bites != 1 {
			t.Errorf("%d bites for one write that lasts, want 1", bites)
		}
		d.arm()
		d.stop()
		sleep(time.Hour)
		if bites != 1 {
			t.Error("it bit after stop")
		}
	})
}
