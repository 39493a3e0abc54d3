// Package stats measures what the node, its pods and their containers use,
// from cgroups. It asks nobody and keeps nothing: each question is answered by
// reading a few files.
package stats

import (
	"context"
	"path"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	statsapi "k8s.io/kubelet/pkg/apis/stats/v1alpha1"

	"github.com/pintle-io/pintle/node/cgroup"
	"github.com/pintle-io/pintle/node/podspec"
)

// Source measures.
type Source struct {
	// NodeName is the API's name of the node.
	NodeName string
	// Cgroups is the machine's hierarchies.
	Cgroups *cgroup.System
	// NodeGroup is the group that stands for the node: "/" for a machine that
	// is one node, the node's own group where several share a machine.
	NodeGroup string
	// PodGroup is the group that holds one group per pod.
	PodGroup string
	// Pods lists the node's pods.
	Pods func() []*corev1.Pod
}

// measured is what one pod or container uses.
type measured struct {
	pod       *corev1.Pod
	container string // "" for the pod as a whole
	started   time.Time
	usage     cgroup.Usage
}

// pods measures every pod that has a group, and its running containers.
func (s *Source) pods() []measured {
	var out []measured
	for _, p := range s.Pods() {
		group := path.Join(s.PodGroup, "pod"+string(p.UID))
		u, err := s.Cgroups.Usage(group)
		if err != nil {
			continue // not running
		}
		m := measured{pod: p, usage: u}
		if p.Status.StartTime != nil {
			m.started = p.Status.StartTime.Time
		}
		out = append(out, m)
		for _, list := range [][]corev1.ContainerStatus{p.Status.InitContainerStatuses, p.Status.ContainerStatuses} {
			for _, c := range list {
				_, id, ok := strings.Cut(c.ContainerID, "://")
				if !ok || c.State.Running == nil {
					continue
				}
				if u, err := s.Cgroups.Usage(path.Join(group, id)); err == nil {
					out = append(out, measured{p, c.Name, c.State.Running.StartedAt.Time, u})
				}
			}
		}
	}
	return out
}

// Summary answers /stats/summary.
func (s *Source) Summary(context.Context) (*statsapi.Summary, error) {
	now := metav1.Now()
	node, err := s.Cgroups.Usage(s.NodeGroup)
	if err != nil {
		return nil, err
	}
	sum := &statsapi.Summary{Node: statsapi.NodeStats{NodeName: s.NodeName, CPU: cpu(now, node), Memory: memory(now, node)}}
	for _, m := range s.pods() {
		if m.container == "" {
			sum.Pods = append(sum.Pods, statsapi.PodStats{
				PodRef:    statsapi.PodReference{Name: m.pod.Name, Namespace: m.pod.Namespace, UID: string(m.pod.UID)},
				StartTime: metav1.NewTime(m.started), CPU: cpu(now, m.usage), Memory: memory(now, m.usage),
				ProcessStats: &statsapi.ProcessStats{ProcessCount: &m.usage.PIDs},
			})
			continue
		}
		p := &sum.Pods[len(sum.Pods)-1]
		p.Containers = append(p.Containers, statsapi.ContainerStats{Name: m.container,
			StartTime: metav1.NewTime(m.started), CPU: cpu(now, m.usage), Memory: memory(now, m.usage)})
	}
	return sum, nil
}

func cpu(now metav1.Time, u cgroup.Usage) *statsapi.CPUStats {
	return &statsapi.CPUStats{Time: now, UsageCoreNanoSeconds: &u.CPU}
}

func memory(now metav1.Time, u cgroup.Usage) *statsapi.MemoryStats {
	return &statsapi.MemoryStats{Time: now, WorkingSetBytes: &u.Memory, RSSBytes: &u.RSS}
}

// Descriptions of /metrics/resource; the names are upstream's, which the
// metrics server asks for.
var (
	containerLabels = []string{"container", "namespace", "pod"}
	podLabels       = []string{"namespace", "pod"}

	nodeCPU         = desc("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds", nil)
	nodeMemory      = desc("node_memory_working_set_bytes", "Current working set of the node in bytes", nil)
	podCPU          = desc("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds", podLabels)
	podMemory       = desc("pod_memory_working_set_bytes", "Current working set of the pod in bytes", podLabels)
	containerCPU    = desc("container_cpu_usage_seconds_total", "Cumulative cpu time consumed by the container in core-seconds", containerLabels)
	containerMemory = desc("container_memory_working_set_bytes", "Current working set of the container in bytes", containerLabels)
	containerStart  = desc("container_start_time_seconds", "Start time of the container since unix epoch in seconds", containerLabels)
	scrapeError     = desc("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise", nil)
)

func desc(name, help string, labels []string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe lists the metrics.
func (s *Source) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{nodeCPU, nodeMemory, podCPU, podMemory, containerCPU, containerMemory, containerStart, scrapeError} {
		ch <- d
	}
}

// Collect measures.
func (s *Source) Collect(ch chan<- prometheus.Metric) {
	failed := 0.0
	if u, err := s.Cgroups.Usage(s.NodeGroup); err == nil {
		ch <- prometheus.MustNewConstMetric(nodeCPU, prometheus.CounterValue, float64(u.CPU)/1e9)
		ch <- prometheus.MustNewConstMetric(nodeMemory, prometheus.GaugeValue, float64(u.Memory))
	} else {
		failed = 1
	}
	measured := s.pods()
	meant := map[[2]string]*corev1.Pod{}
	for _, m := range measured {
		name := [2]string{m.pod.Namespace, m.pod.Name}
		if p := meant[name]; p == nil || podspec.Newer(m.pod, p) {
			meant[name] = m.pod
		}
	}
	for _, m := range measured {
		if meant[[2]string{m.pod.Namespace, m.pod.Name}] != m.pod {
			continue // a predecessor: metrics tell pods apart by their names alone
		}
		seconds, bytes := float64(m.usage.CPU)/1e9, float64(m.usage.Memory)
		if m.container == "" {
			ch <- prometheus.MustNewConstMetric(podCPU, prometheus.CounterValue, seconds, m.pod.Namespace, m.pod.Name)
			ch <- prometheus.MustNewConstMetric(podMemory, prometheus.GaugeValue, bytes, m.pod.Namespace, m.pod.Name)
			continue
		}
		ch <- prometheus.MustNewConstMetric(containerCPU, prometheus.CounterValue, seconds, m.container, m.pod.Namespace, m.pod.Name)
		ch <- prometheus.MustNewConstMetric(containerMemory, prometheus.GaugeValue, bytes, m.container, m.pod.Namespace, m.pod.Name)
		ch <- prometheus.MustNewConstMetric(containerStart, prometheus.GaugeValue, float64(m.started.Unix()), m.container, m.pod.Namespace, m.pod.Name)
	}
	ch <- prometheus.MustNewConstMetric(scrapeError, prometheus.GaugeValue, failed)
}

// Registry serves the source alone.
func (s *Source) Registry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(s)
	return r
}

var _ prometheus.Collector = (*Source)(nil)
