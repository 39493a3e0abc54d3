package measure

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/peers/scenario"
)

// Report collects results.
type Report struct {
	Machine string
	Scale   float64
	results []Result
}

// Add adds a result.
func (r *Report) Add(x Result) { r.results = append(r.results, x) }

// The sides, as results name them.
const (
	peer = "kubernetes"
	ours = "pintle"
)

// Table is the report in Markdown: of each scenario a line for each side, with
// medians over the rounds, and one of ratios, which are medians of those of
// each round, whose two measurements followed each other.
func (r *Report) Table(list []scenario.Scenario) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, scale %g\n\n", r.Machine, r.Scale)
	b.WriteString("| scenario | | time | rate | CPU: API server | controllers | together | etcd | peak memory of servers | CPU of the client |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|---|\n")
	for _, s := range list {
		what := fmt.Sprintf(s.What, scenario.Scaled(s.Size, r.Scale))
		for _, side := range []string{peer, ours} {
			if line := r.line(s, side); line != "" {
				fmt.Fprintf(&b, "| %s | %s | %s |\n", what, side, line)
				what = ""
			}
		}
		if line := r.ratios(s.Name); line != "" {
			fmt.Fprintf(&b, "| | **ratio** | %s |\n", line)
		}
	}
	return b.String()
}

// of are the results of a scenario on a side, by round.
func (r *Report) of(name, side string) map[int]Result {
	m := map[int]Result{}
	for _, x := range r.results {
		if x.Scenario == name && x.Side == side {
			m[x.Round] = x
		}
	}
	return m
}

func (r *Report) line(s scenario.Scenario, side string) string {
	results := r.of(s.Name, side)
	for _, x := range results {
		if x.Skipped != "" {
			return "skipped: " + x.Skipped + strings.Repeat(" |", 7)
		}
	}
	if len(results) == 0 {
		return ""
	}
	of := func(f func(Result) float64) float64 {
		var list []float64
		for _, x := range results {
			list = append(list, f(x))
		}
		return Median(list)
	}
	seconds := func(v float64) string { return fmt.Sprintf("%s s", digits(v)) }
	api, controllers := "", "" // of Pintle they are one process
	if side == peer {
		api = seconds(of(func(x Result) float64 { return x.cpu("kube-apiserver") }))
		controllers = seconds(of(func(x Result) float64 { return x.cpu("kube-controller-manager") }))
	}
	return strings.Join([]string{
		seconds(of(took)),
		fmt.Sprintf("%s %s/s", digits(of(func(x Result) float64 { return float64(x.Size) / took(x) })), s.Unit),
		api, controllers,
		seconds(of(func(x Result) float64 { cpu, _ := x.servers(); return cpu })),
		seconds(of(func(x Result) float64 { return x.cpu(etcd) })),
		digits(of(func(x Result) float64 { _, peak := x.servers(); return peak })) + " MiB",
		seconds(of(func(x Result) float64 { return x.Client.Seconds() })),
	}, " | ")
}

func took(x Result) float64 { return x.Took.Seconds() }

// ratios are Kubernetes' figures in Pintle's: how many times as fast, and how
// many times as much CPU and memory Kubernetes takes.
func (r *Report) ratios(name string) string {
	theirs, own := r.of(name, peer), r.of(name, ours)
	of := func(f func(Result) float64) string {
		var list []float64
		for round, x := range theirs {
			if y, ok := own[round]; ok && x.Skipped == "" && y.Skipped == "" && f(y) > 0 {
				list = append(list, f(x)/f(y))
			}
		}
		if len(list) == 0 {
			return ""
		}
		return digits(Median(list)) + " ×"
	}
	time := of(took)
	if time == "" {
		return ""
	}
	return strings.Join([]string{
		time, time, "", "",
		of(func(x Result) float64 { cpu, _ := x.servers(); return cpu }),
		of(func(x Result) float64 { return x.cpu(etcd) }),
		of(func(x Result) float64 { _, peak := x.servers(); return peak }),
		of(func(x Result) float64 { return x.Client.Seconds() }),
	}, " | ")
}

// Median of some values; of an even number, the mean of the two in the middle.
// It is 0 of none.
func Median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	if len(list) == 0 {
		return 0
	}
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}

// digits writes a figure with about three of them.
func digits(v float64) string {
	switch {
	case v < 1:
		return fmt.Sprintf("%.3f", v)
	case v < 10:
		return fmt.Sprintf("%.2f", v)
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

// Machine describes where figures are taken.
func Machine() string {
	model := runtime.GOARCH
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for l := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(l, ":"); ok && strings.TrimSpace(k) == "model name" {
				model = strings.TrimSpace(v)
				break
			}
		}
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		load = []byte("unknown")
	}
	first, _, _ := strings.Cut(string(load), " ")
	return fmt.Sprintf("%d × %s, load at the start %s, %s", runtime.NumCPU(), model, first, time.Now().UTC().Format(time.DateOnly))
}
