package suite

import (
	"time"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite-alone", New: func([]byte) (sdk.Points, error) { return alone(), nil }})
	sdk.Register(sdk.Plugin{Name: "suite-victims", New: func([]byte) (sdk.Points, error) { return victims(), nil }})
	sdk.Register(sdk.Plugin{Name: "suite-elder", New: func([]byte) (sdk.Points, error) { return elder(), nil }})
}

var (
	repelled = scheduling.Unschedulable("node(s) have a pod that keeps the app away")
	notAlone = scheduling.Unschedulable("node(s) have a pod of the app")
	noRoom   = scheduling.Unschedulable("node(s) have no room without the pods of lower priority")
	hasElder = scheduling.Unschedulable("node(s) have the oldest pod")
)

// alone puts no two pods of one namespace with the same value of the label "app"
// on a node, where pods that end do not count, and none where the anti-affinity of
// a pod names its app.
func alone() *scheduling.Points {
	return &scheduling.Points{Filter: func(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
		app, ok := p.Label("app")
		if !ok {
			return nil
		}
		for o := range n.AssignedPods() {
			if has, ok := o.Label("app"); ok && has == app && o.Namespace() == p.Namespace() && !o.Terminating() {
				return notAlone
			}
		}
		for o := range n.AssignedPods() {
			if keepsAway(o.Affinity(), app) {
				return repelled
			}
		}
		return nil
	}}
}

func keepsAway(a *corev1.Affinity, app string) bool {
	if a == nil || a.PodAntiAffinity == nil {
		return false
	}
	for _, t := range a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution {
		if t.TopologyKey == "kubernetes.io/hostname" && t.LabelSelector != nil && t.LabelSelector.MatchLabels["app"] == app {
			return true
		}
	}
	return false
}

// victims lets a pod on nodes where it has room when pods of lower priority go,
// and prefers those where fewer of them must: it does what preemption asks first.
func victims() *scheduling.Points {
	lower := func(p *scheduling.Pod, n scheduling.Node) (count, kept int64, memory int64) {
		for o := range n.AssignedPods() {
			if o.Priority() < p.Priority() && o.Extended("example.com/gpu") == 0 {
				count++
			} else {
				kept, memory = kept+o.CPU(), memory+o.Memory()
			}
		}
		return count, kept, memory
	}
	return &scheduling.Points{
		Filter: func(p *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if _, cpu, memory := lower(p, n); cpu+p.CPU() > n.AllocatableCPU() || memory+p.Memory() > n.AllocatableMemory() {
				return noRoom
			}
			return nil
		},
		Score: func(p *scheduling.Pod, n scheduling.Node) int64 {
			count, _, _ := lower(p, n)
			return max(scheduling.MaxNodeScore-count, 0)
		},
	}
}

// elder keeps pods away from the node of the pod that was started first of those
// that have a host port and preempt others; of two, the one with the lower port.
func elder() *scheduling.Points {
	var node string
	return &scheduling.Points{
		Scope: scheduling.Cluster,
		PreFilter: func(_ *scheduling.Pod, s *scheduling.Snapshot) *scheduling.Status {
			node = ""
			var first time.Time
			var lowest int32
			for o := range s.AssignedPods() {
				at, ports := o.StartTime(), o.Ports()
				if at.IsZero() || len(ports) == 0 || o.NeverPreempts() || o.Labels()["tier"] == "young" {
					continue
				}
				if node == "" || at.Before(first) || at.Equal(first) && ports[0].Port < lowest {
					node, first, lowest = o.Node().Name(), at, ports[0].Port
				}
			}
			return nil
		},
		Filter: func(_ *scheduling.Pod, n scheduling.Node) *scheduling.Status {
			if n.Name() == node {
				return hasElder
			}
			return nil
		},
	}
}
