package usage

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
)

// TestUsage: what is told of two readings, and of which nothing is.
func TestUsage(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	const second = uint64(time.Second)
	for name, c := range map[string]struct {
		from, to reading
		cpu      int64 // millicores
		window   time.Duration
	}{
		"half a processor":     {reading{at: at(0), cpu: 5 * second}, reading{at: at(10), cpu: 10 * second}, 500, 10 * time.Second},
		"idle":                 {reading{at: at(0), cpu: 5}, reading{at: at(10), cpu: 5}, 0, 10 * time.Second},
		"new":                  {reading{}, reading{at: at(10), started: at(6), cpu: second}, 250, 4 * time.Second},
		"begun again":          {reading{at: at(0), started: at(-50), cpu: 90 * second}, reading{at: at(10), started: at(5), cpu: second}, 200, 5 * time.Second},
		"of unknown beginning": {reading{}, reading{at: at(10), cpu: second}, -1, 0},
		"the same moment":      {reading{at: at(10), cpu: 1}, reading{at: at(10), cpu: 1}, -1, 0},
		"counted anew":         {reading{at: at(0), cpu: 5 * second}, reading{at: at(10), cpu: second}, -1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			c.to.memory = 1 << 20
			got, window, ok := c.to.usage(c.from)
			if !ok {
				if c.cpu >= 0 {
					t.Error("nothing is told")
				}
				return
			}
			if cpu := got.Cpu().MilliValue(); cpu != c.cpu || window != c.window || got.Memory().String() != "1Mi" {
				t.Errorf("%d millicores and %s in %s", cpu, got.Memory(), window)
			}
		})
	}
}

// TestNewSample: what an agent says is taken at the time of this server's clock,
// whatever the node's says.
func TestNewSample(t *testing.T) {
	cpu, memory, node, here := uint64(7), uint64(9), time.Unix(500, 0), time.Unix(9000, 5)
	s := newSample(&statsapi.Summary{Pods: []statsapi.PodStats{{PodRef: statsapi.PodReference{UID: "u"}, Containers: []statsapi.ContainerStats{
		{Name: "web", StartTime: metav1.NewTime(node.Add(-time.Minute)), CPU: &statsapi.CPUStats{Time: metav1.NewTime(node), UsageCoreNanoSeconds: &cpu}, Memory: &statsapi.MemoryStats{WorkingSetBytes: &memory}},
		{Name: "silent"}}}}}, here)
	if got, want := s.pods["u"]["web"], (reading{at: here, started: here.Add(-time.Minute), cpu: 7, memory: 9}); got != want || len(s.pods["u"]) != 1 {
		t.Errorf("got %+v, want %+v of %v", got, want, s.pods)
	}
}

// A pod is told with its containers, in their order, over the shortest of their times.
func TestPodMetrics(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(1000+int64(s), 0) }
	p := pair{
		&sample{pods: map[string]map[string]reading{"u": {"web": {at: at(0)}}}},
		&sample{pods: map[string]map[string]reading{"u": {"web": {at: at(10)}, "log": {at: at(10), started: at(7)}, "stranger": {at: at(10), started: at(7)}}}},
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{UID: "u", Name: "box"}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "log"}, {Name: "web"}, {Name: "gone"}}}}
	m := p.podMetrics(pod)
	if m == nil || len(m.Containers) != 2 || m.Containers[0].Name != "log" || m.Window.Duration != 3*time.Second {
		t.Errorf("got %+v", m)
	}
	pod.UID = "another"
	if m := p.podMetrics(pod); m != nil {
		t.Errorf("of a pod of which nothing is known: %+v", m)
	}
}
