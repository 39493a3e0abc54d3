package diagnose

import (
	"bytes"
	"runtime/pprof"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

const metrics = `
process_start_time_seconds 1.7e+09
process_resident_memory_bytes 1.048576e+08
go_memstats_heap_inuse_bytes 5.24288e+07
go_memstats_heap_idle_bytes 2.097152e+07
go_memstats_heap_released_bytes 1.048576e+07
# TYPE go_gc_duration_seconds summary
go_gc_duration_seconds{quantile="0"} 1e-05
go_gc_duration_seconds_sum 0.25
go_gc_duration_seconds_count 12
apiserver_resource_objects{group="",resource="pods"} 300
apiserver_resource_objects{group="apps",resource="deployments"} 7
pintle_watch_cache_watchers 5
workqueue_depth{name="replicaset"} 2
workqueue_depth{name="deployment"} 0
scheduler_pending_pods{queue="backoff"} 1
`

const goroutines = `goroutine profile: total 7
4 @ 0x1 0x2 0x3
#	0x1	runtime.gopark+0xce	/go/src/runtime/proc.go:1
#	0x2	sync.(*Cond).Wait+0x1	/go/src/sync/cond.go:1
#	0x3	example.com/queue.(*Queue).Get+0x10	/src/queue.go:1
#	0x4	example.com/worker.run+0x10	/src/worker.go:1

2 @ 0x1 0x2
# labels: {"plugin":"deployment"}
#	0x1	example.com/a.f+0x10	/src/a.go:1

1 @ 0x1
#	0x1	runtime.gopark+0xce	/go/src/runtime/proc.go:1
`

func TestPrint(t *testing.T) {
	p := Process{Name: "server", Version: "v1"}
	if err := p.ReadMetrics(strings.NewReader(metrics), time.Unix(1_700_003_661, 0)); err != nil {
		t.Fatal(err)
	}
	if err := p.ReadGoroutines(strings.NewReader(goroutines)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	Print(&out, []Process{p, {Name: "node a", Error: "no answer"}}, 2)
	want := `server  v1
  up          1h1m1s
  memory      100.0 MiB resident; heap 50.0 MiB in use, 20.0 MiB idle, of which 10.0 MiB are given back
  GC          12 times, 250ms of pauses in all
  objects     pods 300, deployments.apps 7
  watchers    5
  waiting     replicaset 2, scheduler/backoff 1
  goroutines  7
                   4  example.com/queue.(*Queue).Get
                   2  example.com/a.f
              1 functions more

node a
  not complete: no answer
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// What this very process serves can be read.
func TestReadsItself(t *testing.T) {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text, stacks bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&text, f); err != nil {
			t.Fatal(err)
		}
	}
	started, stop := make(chan struct{}), make(chan struct{})
	defer close(stop)
	for range 50 {
		go waitForStop(started, stop)
		<-started
	}
	if err := pprof.Lookup("goroutine").WriteTo(&stacks, 1); err != nil {
		t.Fatal(err)
	}
	var p Process
	if err := p.ReadMetrics(&text, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := p.ReadGoroutines(&stacks); err != nil {
		t.Fatal(err)
	}
	if p.RSSBytes == 0 || p.HeapInUse == 0 || p.UptimeSeconds <= 0 || p.Goroutines < 50 {
		t.Errorf("read %+v", p)
	}
	if len(p.Groups) == 0 || !strings.HasSuffix(p.Groups[0].Function, "diagnose.waitForStop") || p.Groups[0].Count != 50 {
		t.Errorf("groups %+v, want the fifty first", p.Groups)
	}
}

func waitForStop(started, stop chan struct{}) {
	started <- struct{}{}
	<-stop
}
