package horizontalpodautoscaler

import (
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
)

// away remembers which servers of metrics do not answer. Autoscalers are looked at one
// after another: one server that hangs would else hold up those that ask another one.
type away map[string]*absence

// absence is of one group version; there are as many as sources of metrics.
type absence struct {
	slow  int // how often in a row it did not answer in time
	until time.Time
	err   error
}

const (
	// slowly is how long an answer takes whose lack is a hang and not a refusal.
	slowly = 2 * time.Second
	// enough is how often somebody may hang: once may be one metric's fault.
	enough = 2
)

// fetch is client.Fetch; of who hangs it answers the error from before, for a period.
func (a away) fetch(c client.Client, now func() time.Time, into any, f client.FetchOptions) error {
	group := f.Resource[:max(strings.LastIndexByte(f.Resource, '/'), 0)]
	x := a[group]
	if x == nil {
		x = &absence{}
		a[group] = x
	}
	begun := now()
	if begun.Before(x.until) {
		return x.err
	}
	err := c.Fetch(into, f)
	if took := now().Sub(begun); !client.IsUnavailable(err) || took < slowly {
		x.slow = 0
		return err
	}
	if x.slow++; x.slow >= enough {
		x.until, x.err = now().Add(period), err
	}
	return err
}
