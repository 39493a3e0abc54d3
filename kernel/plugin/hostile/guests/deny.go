package guests

import "errors"

func init() {
	Register("deny", func(c *Call) error {
		if c.Review == nil {
			return nil // at open: it begins to refuse later
		}
		return c.Review.Deny("as told at %s", c.At)
	})
	Register("fail", func(c *Call) error { return errors.New("as told at " + c.At) })
}
