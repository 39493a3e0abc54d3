package diagnose

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// Print writes summaries for people, of each list the largest most.
func Print(w io.Writer, list []Process, most int) {
	for i, p := range list {
		if i > 0 {
			fmt.Fprintln(w)
		}
		p.print(w, most)
	}
}

func (p *Process) print(w io.Writer, most int) {
	fmt.Fprintln(w, strings.TrimSpace(p.Name+"  "+p.Version))
	if p.Error != "" {
		fmt.Fprintf(w, "  not complete: %s\n", p.Error)
	}
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %-12s%s\n", name, fmt.Sprintf(format, args...))
	}
	if p.RSSBytes > 0 {
		line("up", "%s", time.Duration(p.UptimeSeconds*float64(time.Second)).Round(time.Second))
		line("memory", "%s resident; heap %s in use, %s idle, of which %s are given back", size(p.RSSBytes), size(p.HeapInUse), size(p.HeapIdle), size(p.HeapReleased))
		line("GC", "%d times, %s of pauses in all", p.GCs, time.Duration(p.GCPause*float64(time.Second)).Round(time.Microsecond))
	}
	if p.Pods > 0 {
		line("pods", "%d running", p.Pods)
	}
	if len(p.Objects) > 0 {
		line("objects", "%s", largest(p.Objects, most))
		line("watchers", "%d", p.Watchers)
	}
	if len(p.Queues) > 0 {
		line("waiting", "%s", cmp.Or(largest(p.Queues, most), "nothing"))
	}
	if p.Goroutines > 0 {
		line("goroutines", "%d", p.Goroutines)
	}
	for i, g := range p.Groups {
		if i == most {
			fmt.Fprintf(w, "  %12s%d functions more\n", "", len(p.Groups)-most)
			break
		}
		fmt.Fprintf(w, "  %12s%6d  %s\n", "", g.Count, g.Function)
	}
}

// largest lists what is not 0, the largest first.
func largest(m map[string]int64, most int) string {
	keys := slices.SortedFunc(maps.Keys(m), func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b)) })
	var out []string
	for i, k := range keys {
		if m[k] == 0 {
			break
		}
		if i == most {
			return strings.Join(append(out, "…"), ", ")
		}
		out = append(out, fmt.Sprintf("%s %d", k, m[k]))
	}
	return strings.Join(out, ", ")
}

func size(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }
