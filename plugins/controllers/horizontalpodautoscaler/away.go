package horizontalpodautoscaler

import (
	"strings"
	"time"

	"github.com/pintle-io/pintle/sdk/client"
)

// away remembers which metrics, and which servers of metrics, do not answer. Autoscalers
// are looked at one after another: what hangs would else hold up those that ask for
// something else.
type away map[string]*absence

// absence is of one metric, or of one group version with all of its metrics.
type absence struct {
	slow  int    // how often in a row there was no answer in time
	last  string // the metric that hung last
	until time.Time
	err   error
}

const (
	// slowly is how long an answer takes that holds up others, whatever it says.
	slowly = 2 * time.Second
	// enough is how often in a row a metric may be slow.
	enough = 2
	// enoughOfServer is how many metrics in a row may hang before it is their server that
	// does: what one namespace asks for must not take the others' metrics away.
	enoughOfServer = 4
	// maxAway bounds the memory.
	maxAway = 1000
)

func (a away) of(name string) *absence {
	x := a[name]
	if x == nil {
		if len(a) >= maxAway {
			clear(a)
		}
		x = &absence{}
		a[name] = x
	}
	return x
}

// fetch is client.Fetch; of what hangs it answers the error from before, for a period.
func (a away) fetch(c client.Client, now func() time.Time, into any, f client.FetchOptions) error {
	metric := f.Resource + "/" + f.Subresource
	server, x := a.of(f.Resource[:max(strings.LastIndexByte(f.Resource, '/'), 0)]), a.of(metric)
	begun := now()
	for _, y := range []*absence{server, x} {
		if begun.Before(y.until) {
			return y.err
		}
	}
	err := c.Fetch(into, f)
	if took := now().Sub(begun); took < slowly {
		x.slow, server.slow = 0, 0
		return err
	}
	x.shut(enough, "", now(), err)
	if client.IsUnavailable(err) {
		server.shut(enoughOfServer, metric, now(), err)
	}
	return err
}

// shut notes a slow answer. From so many in a row on, which are not of the same metric if
// one is named, nothing is asked for a period.
func (x *absence) shut(most int, metric string, now time.Time, err error) {
	if metric != "" && metric == x.last {
		return
	}
	x.last = metric
	if x.slow++; x.slow >= most && err != nil {
		x.until, x.err = now.Add(period), err
	}
}
