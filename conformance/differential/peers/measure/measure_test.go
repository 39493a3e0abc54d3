package measure

import (
	"strings"
	"testing"
	"time"

	"github.com/pintle-io/pintle/conformance/differential/peers/scenario"
)

func TestParseStat(t *testing.T) {
	const line = "42 (a name) of) S 1 42 42 0 -1 4194560 1 2 3 4 250 50 7 8 20 0 9 0 1000 1 2"
	got, err := parseStat([]byte(line))
	if err != nil || got != 3*time.Second {
		t.Errorf("%s, %v, want 3 s", got, err)
	}
	for _, bad := range []string{"", "42 (a) S 1", "42 (a) S 1 2 3 4 5 6 7 8 9 10 x y 1 1"} {
		if _, err := parseStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}

func TestParseMemory(t *testing.T) {
	const status = "Name:\tetcd\nVmPeak:\t  9999 kB\nVmHWM:\t  2048 kB\n"
	if got, err := parseMemory([]byte(status), "VmHWM"); err != nil || got != 2 {
		t.Errorf("%g, %v, want 2", got, err)
	}
	if _, err := parseMemory([]byte(status), "VmSwap"); err == nil {
		t.Error("a line that is not there was read")
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		list []float64
		want float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{9, 1, 2}, 2}, {[]float64{4, 1, 2, 9}, 3}} {
		if got := Median(c.list); got != c.want {
			t.Errorf("%v: %g, want %g", c.list, got, c.want)
		}
	}
}

func result(side string, round int, took, api, controllers, etcd time.Duration) Result {
	r := Result{Scenario: "job", Side: side, Round: round, Size: 500, Took: took, Client: time.Second, Load: "0.5",
		Processes: []Usage{{"etcd", etcd, 50}}}
	if side == peer {
		r.Processes = append(r.Processes, Usage{"kube-apiserver", api, 300}, Usage{"kube-controller-manager", controllers, 100})
	} else {
		r.Processes = append(r.Processes, Usage{"pintle", api, 200})
	}
	return r
}

// Ratios are of rounds, whose two measurements followed each other: a machine
// that becomes slower does not change them.
func TestTable(t *testing.T) {
	const s = time.Second
	r := &Report{Machine: "a machine", Scale: 0.1}
	r.Add(result(peer, 1, 10*s, 6*s, 4*s, 2*s))
	r.Add(result(ours, 1, 2*s, 2*s, 0, s))
	r.Add(result(ours, 2, 20*s, 4*s, 0, s))
	r.Add(result(peer, 2, 100*s, 12*s, 8*s, 2*s))
	r.Add(result(peer, 3, 10*s, 6*s, 4*s, 2*s)) // the other side failed
	r.Add(Result{Scenario: "daemonset", Side: ours, Round: 1, Skipped: "nobody acts on it"})
	var list []scenario.Scenario
	for _, x := range scenario.All() {
		if x.Name == "job" || x.Name == "daemonset" {
			list = append(list, x)
		}
	}
	table := r.Table(list)
	for _, want := range []string{
		"a machine, scale 0.1",
		"| Job of 500 completions, a tenth of them in parallel, until it is complete | kubernetes | 10.0 s | 50.0 pods/s | 6.00 s | 4.00 s | 10.0 s | 2.00 s | 400 MiB | 1.00 s |",
		"| | **ratio** | 5.00 × | 5.00 × |  |  | 5.00 × | 2.00 × | 2.00 × | 1.00 × |",
		"| pintle | skipped: nobody acts on it | | | | | | | |",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("no %q in\n%s", want, table)
		}
	}
	if n := strings.Count(table, "**ratio**"); n != 1 {
		t.Errorf("%d lines of ratios, want 1: nothing is to be compared of what was skipped", n)
	}
}

func TestResultLines(t *testing.T) {
	columns := strings.Count(Header, "\t")
	for _, r := range []Result{result(peer, 1, time.Second, 0, 0, 0), {Scenario: "x", Skipped: "no"}} {
		for l := range strings.Lines(r.String()) {
			if n := strings.Count(l, "\t"); n != columns {
				t.Errorf("%d tabs, want %d: %q", n, columns, l)
			}
		}
	}
}
