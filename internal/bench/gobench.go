package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// figures are the metrics of one Go benchmark, by unit.
type figures map[string]float64

// goBench runs benchmarks of a package and returns their figures by name,
// without "Benchmark" and the number of processors.
func goBench(ctx context.Context, pkg, pattern, times string, args ...string) (map[string]figures, error) {
	cmd := exec.CommandContext(ctx, "go", append([]string{"test", "-run", "^$", "-bench", pattern, "-benchtime", times}, append(args, pkg)...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go test -bench %s %s: %w\n%s%s", pattern, pkg, err, tail(out), tail(stderr.Bytes()))
	}
	all := map[string]figures{}
	for sc := bufio.NewScanner(bytes.NewReader(out)); sc.Scan(); {
		f := strings.Fields(sc.Text())
		if len(f) < 4 || !strings.HasPrefix(f[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(f[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			name = name[:i]
		}
		x := figures{}
		for i := 2; i+1 < len(f); i += 2 {
			if x[f[i+1]], err = strconv.ParseFloat(f[i], 64); err != nil {
				return nil, fmt.Errorf("benchmark %s: %w", name, err)
			}
		}
		all[name] = x
	}
	return all, nil
}

func tail(b []byte) []byte { return b[max(0, len(b)-1500):] }

// need returns one figure.
func need(all map[string]figures, name, unit string) (float64, error) {
	v, ok := all[name][unit]
	if !ok {
		return 0, fmt.Errorf("benchmark %s reported no %s", name, unit)
	}
	return v, nil
}

// decisions measures the scheduling cycle alone.
func (b *bench) decisions(ctx context.Context) error {
	profile := filepath.Join(b.profiles, "decision.pprof")
	all, err := goBench(ctx, "./kernel/scheduler", "^Benchmark(First|Repeat)(WASM)?$", "1s", "-cpuprofile", profile, "-o", filepath.Join(b.dir, "scheduler.test"))
	if err != nil {
		return err
	}
	for _, x := range []struct {
		name, what string
		limit      float64
	}{
		{"FirstWASM", "decision over 5,000 nodes, new signature, WASM", 500}, {"First", "the same, linked in natively", 0},
		{"RepeatWASM", "decision over 5,000 nodes, same signature again, WASM", 50}, {"Repeat", "the same, linked in natively", 0},
	} {
		ns, err := need(all, x.name, "ns/op")
		if err != nil {
			return err
		}
		if !b.report.most(x.what, ns/1000, x.limit, "µs", "") {
			b.report.explain(profile)
		}
	}
	return nil
}

// services measures the load balancer's data path and its changes.
func (b *bench) services(ctx context.Context) error {
	all, err := goBench(ctx, "./ebpf/lb", "^Benchmark(Connect|Upsert)$", "3000x")
	if err != nil {
		return err
	}
	for _, n := range []string{"1", "10000"} {
		direct, err := need(all, "Connect/services="+n, "direct-p50-ns")
		if err != nil {
			return err
		}
		service, err := need(all, "Connect/services="+n, "service-p50-ns")
		if err != nil {
			return err
		}
		b.report.most("connect to a ClusterIP, "+n+" Services", service/1000, 0, "µs", "p50")
		b.report.most("  to the backend itself", direct/1000, 0, "µs", "p50, in turn with the one above")
		b.report.most("  ratio", service/direct, 1.1, "×", "")
	}
	for _, n := range []string{"1", "10000"} {
		ns, err := need(all, "Upsert/services="+n, "ns/change")
		if err != nil {
			return err
		}
		b.report.most("one endpoint of ten into the maps, "+n+" Services", ns/1000, 0, "µs", "")
	}
	all, err = goBench(ctx, "./node/service", "^BenchmarkChange$", "1000x")
	if err != nil {
		return err
	}
	for _, x := range []struct{ unit, what string }{{"p50-µs", "p50"}, {"p99-µs", "p99"}} {
		v, err := need(all, "Change/event", x.unit)
		if err != nil {
			return err
		}
		b.report.most("one Service change to the data path, 10,000 Services, "+x.what, v, map[string]float64{"p99": 5000}[x.what], "µs", "from the watch event")
	}
	return nil
}

// pods measures the node agent: from a pod's creation in the API to its
// Running there, less what the runtime takes when the same calls are made by
// hand.
func (b *bench) pods(ctx context.Context) error {
	all, err := goBench(ctx, "./node", "^BenchmarkPod$", "20x")
	if err != nil {
		return err
	}
	for _, x := range []struct {
		what, verb string
		limit      float64
	}{{"API create → Running, cached image", "start", 100}, {"API delete → gone", "stop", 0}} {
		agent, err := need(all, "Pod", "agent-"+x.verb+"-ms")
		if err != nil {
			return err
		}
		bare, err := need(all, "Pod", "cri-"+x.verb+"-ms")
		if err != nil {
			return err
		}
		b.report.most(x.what, agent, 0, "ms", "mean of 20")
		b.report.most("  the same calls by hand", bare, 0, "ms", "in turn with the one above")
		b.report.most("  the agent's part", agent-bare, x.limit, "ms", "")
	}
	return nil
}
