package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
)

// outages tell the log when a webhook begins to fail and when it answers again, once
// each: it is somebody's program, and every request that it is asked about would be
// another line. It is safe for concurrent use.
type outages struct {
	log *slog.Logger

	mu      sync.Mutex
	failing map[string]bool // by address; guarded by mu
}

// maxOutages bounds what is remembered of webhooks, some of which nobody has any more.
const maxOutages = 1000

func newOutages(log *slog.Logger) *outages {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &outages{log: log, failing: map[string]bool{}}
}

// note takes in how a call went. One that its client broke off says nothing.
func (o *outages) note(r *http.Request, res *http.Response, err error) {
	if errors.Is(r.Context().Err(), context.Canceled) {
		return
	}
	if err == nil && res.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("it answered %s", res.Status)
	}
	address := r.URL.Host + r.URL.Path
	o.mu.Lock()
	was := o.failing[address]
	if err == nil {
		delete(o.failing, address)
	} else if !was {
		if len(o.failing) >= maxOutages {
			clear(o.failing)
		}
		o.failing[address] = true
	}
	o.mu.Unlock()
	switch {
	case err != nil && !was:
		o.log.Warn("a webhook fails", "webhook", address, "error", err)
	case err == nil && was:
		o.log.Info("a webhook answers again", "webhook", address)
	}
}
