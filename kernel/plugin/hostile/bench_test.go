package hostile_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
)

// BenchmarkNeighbour is the time of a request that the neighbour reviews, with
// hostile plugins beside it that are provoked all the time: p99 is what the
// promise is about.
func BenchmarkNeighbour(b *testing.B) {
	s := start(b)
	short := timeout(300 * time.Millisecond)
	for _, c := range []struct {
		name string
		spec func(testing.TB, *server) v1alpha1.PluginSpec
	}{
		{"quiet", hostileAt(v1alpha1.HostWASM, "validate", "nothing")},
		{"panic", hostileAt(v1alpha1.HostWASM, "validate", "panic")},
		{"fill memory", hostileAt(v1alpha1.HostWASM, "validate", "fill memory", short)},
		{"filter panics", hostileAt(v1alpha1.HostWASM, "filter", "panic")},
	} {
		b.Run(c.name, func(b *testing.B) {
			name := fmt.Sprintf("bad-%d", number.Add(1))
			s.load(b, name, c.spec(b, s))
			s.phase(b, name, v1alpha1.Ready)
			stop := s.provoke(b)
			var took []time.Duration
			for b.Loop() {
				begin := time.Now()
				if _, err := s.createPod("bystander", fmt.Sprintf("pod-%d", number.Add(1))); err != nil {
					b.Fatal(err)
				}
				took = append(took, time.Since(begin))
			}
			stop()
			s.remove(b, name)
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
