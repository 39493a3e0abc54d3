package job

import (
	"time"
)

// A pod that failed is replaced after firstDelay, after the next failure in a
// row twice as late, and so on up to maxDelay.
const (
	firstDelay = 10 * time.Second
	maxDelay   = 10 * time.Minute
)

// backoff is how often pods failed since the last that succeeded, and when the
// last did.
type backoff struct {
	failures int32
	last     time.Time
}

// recall counts the failures after the last success from the pods that are
// still there, which is what a restart leaves. Pods that are gone, or were
// removed for another reason than failure, it cannot tell apart: known is what
// was counted before, and counts as long as no success came after it.
func (v *view) recall(known backoff) backoff {
	var success time.Time
	for _, p := range v.pods {
		if v.hasSucceeded(p) && p.finishedAt().After(success) {
			success = p.finishedAt()
		}
	}
	var seen backoff
	fresh := map[*pod]bool{}
	for _, p := range v.newlyFailed {
		fresh[p] = true
	}
	added := int32(0)
	for _, p := range v.pods {
		// One that is deleted and not tracked was let go of, not counted.
		if !v.hasFailed(p) || p.deleting() && !p.tracked() {
			continue
		}
		at := p.finishedAt()
		if !at.After(success) {
			continue
		}
		seen.failures++
		if at.After(seen.last) {
			seen.last = at
		}
		if fresh[p] {
			added++
		}
	}
	if known.failures == 0 || !known.last.After(success) {
		return seen
	}
	seen.failures = max(seen.failures, known.failures+added)
	if known.last.After(seen.last) {
		seen.last = known.last
	}
	return seen
}

// delay is how long to wait for the next pod.
func (b backoff) delay(now time.Time) time.Duration {
	if b.failures <= 0 {
		return 0
	}
	d := firstDelay
	for i := int32(1); i < b.failures && d < maxDelay; i++ {
		d *= 2
	}
	return max(b.last.Add(min(d, maxDelay)).Sub(now), 0)
}

// delayOf is how long an index must wait for its next pod; last is the one that
// failed.
func delayOf(last *pod, now time.Time) time.Duration {
	if last == nil {
		return 0
	}
	return backoff{failures(last) + 1, last.finishedAt()}.delay(now)
}
