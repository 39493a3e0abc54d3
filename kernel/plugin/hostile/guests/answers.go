package guests

import (
	"errors"
	"strings"

	"github.com/pintle-io/pintle/sdk/controller"
)

func init() {
	Register("long message", func(c *Call) error { return c.Review.Deny("%s", strings.Repeat("m", 20<<20)) })
	Register("many warnings", func(c *Call) error {
		for range 1 << 14 {
			c.Review.Warn("w")
		}
		return nil
	})
	Register("long error", func(*Call) error { return errors.New(strings.Repeat("e", 20<<20)) })
	Register("deep patch", func(c *Call) error { return c.Review.Set("spec"+strings.Repeat(".a", 8<<20), 1) })
	Register("many patches", func(c *Call) error {
		for range 1 << 14 {
			if err := c.Review.Set("metadata.labels.a", "b"); err != nil {
				return err
			}
		}
		return nil
	})
	Register("long reason", func(*Call) error { return errors.New(strings.Repeat("r", 20<<20)) })
	Register("many requests", func(c *Call) error { c.Enqueue = make([]controller.Request, 1<<18); return nil })
}
