// Package diagnose makes a summary of a process from what it serves anyway:
// its metrics and the profile of its goroutines. It reads, and asks nobody.
package diagnose

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// Process is the summary of one process: the server, or a node's agent.
type Process struct {
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	// Error says why the rest is missing or not complete.
	Error string `json:"error,omitempty"`

	UptimeSeconds float64 `json:"uptimeSeconds,omitempty"`
	RSSBytes      int64   `json:"rssBytes,omitempty"`
	HeapInUse     int64   `json:"heapInUseBytes,omitempty"`
	HeapIdle      int64   `json:"heapIdleBytes,omitempty"`     // held, without objects
	HeapReleased  int64   `json:"heapReleasedBytes,omitempty"` // of that, given back to the system
	GCs           int64   `json:"gcs,omitempty"`
	GCPause       float64 `json:"gcPauseSeconds,omitempty"` // of all, together

	Goroutines int     `json:"goroutines,omitempty"`
	Groups     []Group `json:"goroutineGroups,omitempty"` // the largest first

	Objects  map[string]int64 `json:"watchCacheObjects,omitempty"` // by "resource.group"
	Watchers int64            `json:"watchers,omitempty"`
	Queues   map[string]int64 `json:"queues,omitempty"` // what waits, by controller or queue of the scheduler
	Pods     int64            `json:"runningPods,omitempty"`
}

// Group are goroutines that are in the same function.
type Group struct {
	Function string `json:"function"`
	Count    int    `json:"count"`
}

// ReadMetrics takes in what the process answers at /metrics.
func (p *Process) ReadMetrics(r io.Reader, now time.Time) error {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(r)
	if err != nil {
		return fmt.Errorf("read metrics: %w", err)
	}
	one := func(name string) float64 {
		if f := families[name]; f != nil && len(f.Metric) > 0 {
			return value(f.Metric[0])
		}
		return 0
	}
	if start := one("process_start_time_seconds"); start > 0 {
		p.UptimeSeconds = float64(now.UnixMilli())/1000 - start
	}
	p.RSSBytes = int64(one("process_resident_memory_bytes"))
	p.HeapInUse = int64(one("go_memstats_heap_inuse_bytes"))
	p.HeapIdle = int64(one("go_memstats_heap_idle_bytes"))
	p.HeapReleased = int64(one("go_memstats_heap_released_bytes"))
	p.Goroutines = int(one("go_goroutines"))
	p.Watchers = int64(one("pintle_watch_cache_watchers"))
	p.Pods = int64(one("kubelet_running_pods"))
	if f := families["go_gc_duration_seconds"]; f != nil && len(f.Metric) > 0 {
		s := f.Metric[0].GetSummary()
		p.GCs, p.GCPause = int64(s.GetSampleCount()), s.GetSampleSum()
	}
	p.Objects = byLabel(families["apiserver_resource_objects"], func(l map[string]string) string {
		return strings.TrimSuffix(l["resource"]+"."+l["group"], ".")
	})
	p.Queues = byLabel(families["workqueue_depth"], func(l map[string]string) string { return l["name"] })
	maps.Copy(p.Queues, byLabel(families["scheduler_pending_pods"], func(l map[string]string) string { return "scheduler/" + l["queue"] }))
	return nil
}

func byLabel(f *dto.MetricFamily, name func(map[string]string) string) map[string]int64 {
	out := map[string]int64{}
	for _, m := range f.GetMetric() {
		labels := map[string]string{}
		for _, l := range m.Label {
			labels[l.GetName()] = l.GetValue()
		}
		out[name(labels)] = int64(value(m))
	}
	return out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	case m.Counter != nil:
		return m.Counter.GetValue()
	}
	return m.GetUntyped().GetValue()
}

// ReadGoroutines takes in what the process answers at
// /debug/pprof/goroutine?debug=1: stacks, each with how many have it.
func (p *Process) ReadGoroutines(r io.Reader) error {
	counts := map[string]int{}
	total, n, named := 0, 0, true
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		switch fields := strings.Fields(line); {
		case len(fields) > 2 && fields[1] == "@":
			var err error
			if n, err = strconv.Atoi(fields[0]); err != nil {
				return fmt.Errorf("read goroutines: %q: %w", line, err)
			}
			total, named = total+n, false
		case len(fields) > 2 && fields[0] == "#" && strings.HasPrefix(fields[1], "0x") && !named:
			// Where it waits says less than who waits.
			if f, _, _ := strings.Cut(fields[2], "+0x"); !isPlumbing(f) {
				counts[f] += n
				named = true
			}
		case line == "" && !named:
			counts["(runtime)"] += n
			named = true
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read goroutines: %w", err)
	}
	if !named {
		counts["(runtime)"] += n
	}
	p.Goroutines, p.Groups = total, nil
	for f, n := range counts {
		p.Groups = append(p.Groups, Group{f, n})
	}
	slices.SortFunc(p.Groups, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Function, b.Function))
	})
	return nil
}

// isPlumbing tells that a function is one that everything waits in.
func isPlumbing(f string) bool {
	for _, prefix := range []string{"runtime.", "internal/", "sync.", "syscall.", "io.", "bufio.", "net.(*conn)", "net.(*netFD)", "crypto/tls.", "os.(*File)", "golang.org/x/sync/"} {
		if strings.HasPrefix(f, prefix) {
			return true
		}
	}
	return false
}
