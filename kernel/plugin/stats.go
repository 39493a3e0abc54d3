package plugin

import (
	"math/bits"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pintle-io/pintle/sdk/wire"
)

// Stats counts what a plugin did, over all its instances. It is safe for
// concurrent use; the zero value is ready.
type Stats struct {
	calls, errors, faults atomic.Int64
	// times is a histogram of call times: four buckets for each doubling,
	// from a microsecond. A bucket is 19 % wide, which is how exact
	// percentiles are.
	times [128]atomic.Int64

	mu        sync.Mutex
	instances map[Instance]struct{} // guarded by mu
	last      *LastError            // guarded by mu
}

// LastError is the last thing that went wrong.
type LastError struct {
	// Call is what was asked: "reconcile", "filter and score", "open".
	Call    string
	Message string
	Fault   bool // the instance was thrown away
	Time    time.Time
}

// Snapshot is Stats at one moment.
type Snapshot struct {
	Calls, Errors, Faults int64
	P50, P99              time.Duration
	Memory                int64 // bytes, all instances
	Instances             int
	LastError             *LastError // nil when nothing went wrong
}

// observe counts one call.
func (s *Stats) observe(took time.Duration, failed, fault bool) {
	s.calls.Add(1)
	if fault {
		s.faults.Add(1)
	} else if failed {
		s.errors.Add(1)
	}
	s.times[bucket(took)].Add(1)
}

// failed notes the text of what went wrong in a call.
func (s *Stats) failed(call string, err error, fault bool) {
	message := clip(wire.Detail(err), maxLastError)
	last := &LastError{Call: call, Message: strings.Clone(message), Fault: fault, Time: time.Now()}
	s.mu.Lock()
	s.last = last
	s.mu.Unlock()
}

// maxLastError bounds how much of an error's text is kept, in bytes.
const maxLastError = 4 << 10

func bucket(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	if us < 4 {
		return int(us)
	}
	top := bits.Len64(us) - 1 // at least 2
	b := 4*(top-1) + int(us>>(top-2)&3)
	return min(b, len(Stats{}.times)-1)
}

// upper is the largest time of a bucket.
func upper(b int) time.Duration {
	if b < 4 {
		return time.Duration(b+1) * time.Microsecond
	}
	top, quarter := b/4+1, b%4
	return time.Duration(uint64(5+quarter)<<(top-2)) * time.Microsecond
}

// Snapshot reads the counters.
func (s *Stats) Snapshot() Snapshot {
	out := Snapshot{Calls: s.calls.Load(), Errors: s.errors.Load(), Faults: s.faults.Load()}
	var counts [len(s.times)]int64
	var total int64
	for i := range s.times {
		counts[i] = s.times[i].Load()
		total += counts[i]
	}
	out.P50, out.P99 = percentile(counts[:], total, 50), percentile(counts[:], total, 99)
	s.mu.Lock()
	defer s.mu.Unlock()
	for in := range s.instances {
		out.Memory += in.Memory()
	}
	out.Instances, out.LastError = len(s.instances), s.last
	return out
}

func percentile(counts []int64, total, p int64) time.Duration {
	if total == 0 {
		return 0
	}
	rank := (total*p + 99) / 100
	for i, n := range counts {
		if rank -= n; rank <= 0 {
			return upper(i)
		}
	}
	return upper(len(counts) - 1)
}

func (s *Stats) opened(in Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.instances == nil {
		s.instances = map[Instance]struct{}{}
	}
	s.instances[in] = struct{}{}
}

func (s *Stats) closed(in Instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.instances, in)
}
