// Package hostile is a plugin that does what it is told by the name of the
// object under review, and all of it is bad.
package hostile

import (
	"fmt"
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "hostile", New: func(config []byte) (sdk.Points, error) {
		if string(config) == "loop" {
			for {
			}
		}
		return &admission.Points{Validate: validate, Mutate: giant}, nil
	}})
}

var sink [][]byte

func validate(r *admission.Review) error {
	switch r.Name {
	case "loop":
		for {
		}
	case "loop with calls":
		for i := 0; ; i++ {
			sink = [][]byte{fmt.Appendf(nil, "%d", i)}
		}
	case "goroutine loop":
		for range 3 {
			go func() {
				for {
				}
			}()
		}
		time.Sleep(time.Hour)
	case "sleep":
		time.Sleep(time.Hour)
	case "memory":
		for {
			sink = append(sink, make([]byte, 1<<20))
		}
	case "one huge allocation":
		sink = append(sink, make([]byte, 1<<31))
	case "recursion":
		return fmt.Errorf("%d", recurse(1))
	case "exponential":
		return fmt.Errorf("%d", fibonacci(90))
	case "output":
		for range 100_000 {
			fmt.Println(strings.Repeat("x", 10_000))
		}
	case "panic":
		panic("as told: " + r.Name)
	}
	return nil
}

func recurse(n int) int {
	if n == 0 {
		return 0
	}
	return recurse(n+1) + 1
}

func fibonacci(n int) int {
	if n < 2 {
		return n
	}
	return fibonacci(n-1) + fibonacci(n-2)
}

// giant answers with more than a response may have.
func giant(r *admission.Review) error { return r.Set("data.x", strings.Repeat("x", 70<<20)) }
