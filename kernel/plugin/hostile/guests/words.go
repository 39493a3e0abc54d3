package guests

import (
	"errors"
	"fmt"
	"strings"
)

func init() {
	Register("error", func(c *Call) error { return errors.New("cannot do what " + c.At + " wants") })
	Register("print", func(*Call) error {
		line := strings.Repeat("x", 1<<10)
		for range 2000 {
			fmt.Println(line)
		}
		return nil
	})
}
