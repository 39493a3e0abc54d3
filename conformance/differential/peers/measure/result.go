package measure

import (
	"fmt"
	"strings"
	"time"
)

// Usage is what one process used.
type Usage struct {
	Name string
	CPU  time.Duration
	Peak float64 // memory at most, resident, MiB
}

// Result is what one scenario cost one side once.
type Result struct {
	Scenario, Side string
	Round, Size    int
	Skipped        string // why nothing was measured; "" when it was
	Took           time.Duration
	Processes      []Usage
	Client         time.Duration // CPU of this program: simulated nodes, watches
	Load           string        // of the machine at the end, over a minute
}

// Header names the columns of String.
const Header = "scenario\tside\tround\tsize\tseconds\tprocess\tcpu_seconds\tpeak_mib\tclient_cpu_seconds\tload\tskipped"

// String is a line for each process.
func (r Result) String() string {
	head := fmt.Sprintf("%s\t%s\t%d\t%d", r.Scenario, r.Side, r.Round, r.Size)
	if r.Skipped != "" {
		return head + "\t\t\t\t\t\t\t" + r.Skipped
	}
	var lines []string
	for _, p := range r.Processes {
		lines = append(lines, fmt.Sprintf("%s\t%.3f\t%s\t%.2f\t%.1f\t%.2f\t%s\t", head, r.Took.Seconds(), p.Name, p.CPU.Seconds(), p.Peak, r.Client.Seconds(), r.Load))
	}
	return strings.Join(lines, "\n")
}

// Summary is a line for who looks on.
func (r Result) Summary() string {
	if r.Skipped != "" {
		return "skipped: " + r.Skipped
	}
	var parts []string
	for _, p := range r.Processes {
		parts = append(parts, fmt.Sprintf("%s %.1f s, %.0f MiB", p.Name, p.CPU.Seconds(), p.Peak))
	}
	return fmt.Sprintf("%.2f s; CPU and peak: %s; client %.1f s", r.Took.Seconds(), strings.Join(parts, ", "), r.Client.Seconds())
}

// etcd is the process that both sides have.
const etcd = "etcd"

// servers are the usage of all processes but etcd.
func (r Result) servers() (cpu, peak float64) {
	for _, p := range r.Processes {
		if p.Name != etcd {
			cpu, peak = cpu+p.CPU.Seconds(), peak+p.Peak
		}
	}
	return cpu, peak
}

// cpu is that of one process, in seconds.
func (r Result) cpu(name string) float64 {
	for _, p := range r.Processes {
		if p.Name == name {
			return p.CPU.Seconds()
		}
	}
	return 0
}
