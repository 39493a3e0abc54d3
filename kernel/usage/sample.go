package usage

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"
	"k8s.io/metrics/pkg/apis/metrics/v1beta1"

	"github.com/pintle-io/pintle/kernel/egress"
)

const (
	// maxSummary bounds an agent's answer: 500 pods of ten containers fit many times.
	maxSummary = 16 << 20
	// answer is how long one agent may take.
	answer = 5 * time.Second
)

// sample is an answer of an agent, as far as it is needed.
type sample struct {
	taken time.Time // by this server's clock
	node  reading
	pods  map[string]map[string]reading // by UID and name of the container
}

// reading is what something had used by a moment, by this server's clock: agents measure
// when they are asked, and tell the time in whole seconds.
type reading struct {
	at, started time.Time
	cpu, memory uint64 // nanoseconds, bytes
}

// pair are two answers of an agent, one after the other.
type pair struct{ from, to *sample }

// fetch asks an agent.
func (u *Usage) fetch(ctx context.Context, node string) (*sample, error) {
	select {
	case u.slots <- struct{}{}:
		defer func() { <-u.slots }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, answer)
	defer cancel()
	t, err := u.c.Agent(ctx, node)
	if err != nil {
		return nil, err
	}
	// Two nodes never share a connection, and most are asked once in a while.
	transport := &http.Transport{DialContext: u.c.Dial, TLSClientConfig: egress.NodeTLS(u.c.TLS, node), DisableKeepAlives: true}
	where := url.URL{Scheme: t.Scheme, Host: t.Host, Path: "/stats/summary"}
	asked := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	taken := asked.Add(time.Since(asked) / 2)
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the agent answered %s", res.Status)
	}
	var s statsapi.Summary
	if err := json.NewDecoder(io.LimitReader(res.Body, maxSummary)).Decode(&s); err != nil {
		return nil, fmt.Errorf("the agent's summary: %w", err)
	}
	return newSample(&s, taken), nil
}

func newSample(s *statsapi.Summary, taken time.Time) *sample {
	out := &sample{taken: taken, pods: map[string]map[string]reading{}}
	out.node, _ = newReading(taken, s.Node.StartTime, s.Node.CPU, s.Node.Memory)
	for i := range s.Pods {
		p := &s.Pods[i]
		containers := map[string]reading{}
		for j := range p.Containers {
			c := &p.Containers[j]
			if r, ok := newReading(taken, c.StartTime, c.CPU, c.Memory); ok {
				containers[c.Name] = r
			}
		}
		out.pods[p.PodRef.UID] = containers
	}
	return out
}

func newReading(taken time.Time, started metav1.Time, cpu *statsapi.CPUStats, memory *statsapi.MemoryStats) (reading, bool) {
	if cpu == nil || cpu.UsageCoreNanoSeconds == nil || memory == nil || memory.WorkingSetBytes == nil {
		return reading{}, false
	}
	r := reading{at: taken, cpu: *cpu.UsageCoreNanoSeconds, memory: *memory.WorkingSetBytes}
	if !started.IsZero() { // the node's clock may be another
		r.started = taken.Add(-cpu.Time.Sub(started.Time))
	}
	return r, true
}

// maxUsage bounds what an agent says of a pod: no machine has more nanocores or bytes.
const maxUsage = 1 << 62

// usage is what was used between two readings, and over which time. What began in
// between is measured from its beginning.
func (r reading) usage(from reading) (corev1.ResourceList, time.Duration, bool) {
	if from.at.IsZero() || r.started.After(from.at) {
		from = reading{at: r.started}
	}
	window := r.at.Sub(from.at)
	if from.at.IsZero() || window <= 0 || r.cpu < from.cpu {
		return nil, 0, false
	}
	nanocores := float64(r.cpu-from.cpu) / window.Seconds()
	return corev1.ResourceList{
		corev1.ResourceCPU:    *resource.NewScaledQuantity(int64(min(nanocores, maxUsage)), resource.Nano),
		corev1.ResourceMemory: *resource.NewQuantity(int64(min(r.memory, maxUsage)), resource.BinarySI),
	}, window, true
}

// nodeMetrics is nil when nothing can be told.
func (p pair) nodeMetrics(n *corev1.Node) *v1beta1.NodeMetrics {
	usage, window, ok := p.to.node.usage(p.from.node)
	if !ok {
		return nil
	}
	return &v1beta1.NodeMetrics{ObjectMeta: metaOf(&n.ObjectMeta), Timestamp: metav1.NewTime(p.to.node.at), Window: metav1.Duration{Duration: window}, Usage: usage}
}

// podMetrics is nil when nothing can be told.
func (p pair) podMetrics(pod *corev1.Pod) *v1beta1.PodMetrics {
	before, now := p.from.pods[string(pod.UID)], p.to.pods[string(pod.UID)]
	m := &v1beta1.PodMetrics{ObjectMeta: metaOf(&pod.ObjectMeta)}
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			name := list[i].Name
			r, ok := now[name]
			if !ok {
				continue
			}
			usage, window, ok := r.usage(before[name])
			if !ok {
				continue
			}
			m.Containers = append(m.Containers, v1beta1.ContainerMetrics{Name: name, Usage: usage})
			if m.Window.Duration == 0 || window < m.Window.Duration { // the shortest, as metrics-server
				m.Window.Duration, m.Timestamp = window, metav1.NewTime(r.at)
			}
		}
	}
	if len(m.Containers) == 0 {
		return nil
	}
	return m
}

// metaOf is what the object of something's usage has of it.
func metaOf(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, Labels: m.Labels, CreationTimestamp: metav1.Now()}
}
