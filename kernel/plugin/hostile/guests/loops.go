package guests

import "time"

func init() {
	Register("nothing", func(*Call) error { return nil })
	Register("loop", func(*Call) error {
		for {
		}
	})
	Register("sleep", func(*Call) error { time.Sleep(time.Hour); return nil })
	Register("panic", func(c *Call) error { panic("as told at " + c.At) })
}
