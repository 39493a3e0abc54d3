package daemonset

import "time"

// How long a failed pod waits for its removal, after the one before it on its node: a
// node that refuses pods would be asked without end.
const (
	firstDelay = time.Second
	lastDelay  = 15 * time.Minute
)

// retry is how often a failed pod was removed from a node lately.
type retry struct {
	at    time.Time
	delay time.Duration
}

// expired tells that a node has done well for so long that the next failure is a
// first one.
func (r retry) expired(now time.Time) bool { return now.Sub(r.at) > 2*lastDelay }

// backoffs are those of a DaemonSet, by node.
type backoffs map[string]retry

// left is how long a failed pod of a node still stays.
func (b backoffs) left(at string, now time.Time) time.Duration {
	r, ok := b[at]
	if !ok || r.expired(now) {
		return 0
	}
	return max(r.at.Add(r.delay).Sub(now), 0)
}

// with is b after failed pods of nodes were removed; what expired is forgotten.
func (b backoffs) with(nodes []string, now time.Time) backoffs {
	for at, r := range b {
		if r.expired(now) {
			delete(b, at)
		}
	}
	for _, at := range nodes {
		if b == nil {
			b = backoffs{}
		}
		r, ok := b[at]
		switch {
		case !ok:
			b[at] = retry{now, firstDelay}
		case r.at.Before(now): // several at once are one
			b[at] = retry{now, min(2*r.delay, lastDelay)}
		}
	}
	return b
}
