package horizontalpodautoscaler

import (
	"fmt"
	"time"

	"github.com/pintle-io/pintle/plugins/podresources"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// How long the CPU of a pod that starts says little about its load: upstream's defaults
// (--horizontal-pod-autoscaler-cpu-initialization-period, -initial-readiness-delay).
const (
	cpuInitialization     = 5 * time.Minute
	initialReadinessDelay = 30 * time.Second
)

// pod is what the controller looks at in a pod.
type pod struct {
	Metadata struct {
		Name              string            `json:"name"`
		Labels            map[string]string `json:"labels"`
		DeletionTimestamp *metav1.Time      `json:"deletionTimestamp"`
	} `json:"metadata"`
	Spec struct {
		Containers     []container         `json:"containers"`
		InitContainers []container         `json:"initContainers"`
		Resources      requests            `json:"resources"`
		Overhead       corev1.ResourceList `json:"overhead"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		StartTime  *metav1.Time    `json:"startTime"`
		Conditions []condition     `json:"conditions"`
	} `json:"status"`
}

type container struct {
	Name          string   `json:"name"`
	RestartPolicy string   `json:"restartPolicy"`
	Resources     requests `json:"resources"`
}

type requests struct {
	Requests corev1.ResourceList `json:"requests"`
}

type condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

// ready is the pod's condition Ready; nil when it has none.
func (p *pod) ready() *condition {
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c
		}
	}
	return nil
}

// podMetric is what a pod was measured to use, in thousandths.
type podMetric struct {
	at     time.Time
	window time.Duration
	value  int64
}

// groups are the names of pods by how they count.
type groups struct {
	ready                     int
	unready, missing, ignored map[string]bool
}

// group sorts pods by what is known of them. For CPU, a pod that starts counts as not
// ready while its readiness says that its load is not yet that of its work.
func group(pods []*pod, metrics map[string]podMetric, resource corev1.ResourceName, now time.Time) groups {
	g := groups{unready: map[string]bool{}, missing: map[string]bool{}, ignored: map[string]bool{}}
	for _, p := range pods {
		m, found := metrics[p.Metadata.Name]
		switch {
		case p.Metadata.DeletionTimestamp != nil || p.Status.Phase == corev1.PodFailed:
			g.ignored[p.Metadata.Name] = true
		case p.Status.Phase == corev1.PodPending:
			g.unready[p.Metadata.Name] = true
		case !found:
			g.missing[p.Metadata.Name] = true
		case resource == corev1.ResourceCPU && p.starting(m, now):
			g.unready[p.Metadata.Name] = true
		default:
			g.ready++
		}
	}
	return g
}

// starting tells that a measurement of CPU does not count yet.
func (p *pod) starting(m podMetric, now time.Time) bool {
	c := p.ready()
	if c == nil || p.Status.StartTime == nil {
		return true
	}
	start, since := p.Status.StartTime.Time(), c.LastTransitionTime.Time()
	if start.Add(cpuInitialization).After(now) {
		// It may be measured at its start: a whole window since it became ready counts.
		return c.Status == corev1.ConditionFalse || m.at.Before(since.Add(m.window))
	}
	return c.Status == corev1.ConditionFalse && start.Add(initialReadinessDelay).After(since) // never ready yet
}

// readyCount is how many pods run and are ready.
func readyCount(pods []*pod) (n int) {
	for _, p := range pods {
		if c := p.ready(); p.Status.Phase == corev1.PodRunning && c != nil && c.Status == corev1.ConditionTrue {
			n++
		}
	}
	return n
}

// requested are the requests of pods in thousandths, by their names; of one container of
// each, unless that is "".
func requested(pods []*pod, container string, resource corev1.ResourceName) (map[string]int64, error) {
	out := make(map[string]int64, len(pods))
	for _, p := range pods {
		n, err := p.requests(container, resource)
		if err != nil {
			return nil, err
		}
		out[p.Metadata.Name] = n
	}
	return out, nil
}

func (p *pod) requests(name string, resource corev1.ResourceName) (int64, error) {
	if name == "" && len(p.Spec.Resources.Requests) > 0 { // KEP-2837
		return p.podLevel(resource)
	}
	sum := int64(0)
	for _, list := range [][]container{p.Spec.Containers, p.sidecars()} {
		for i := range list {
			c := &list[i]
			if name != "" && name != c.Name {
				continue
			}
			q, ok := c.Resources.Requests[resource]
			if !ok {
				return 0, fmt.Errorf("missing request for %s in container %s of Pod %s", resource, c.Name, p.Metadata.Name)
			}
			sum += q.MilliValue()
			if name == c.Name {
				return sum, nil
			}
		}
	}
	if name != "" {
		return 0, fmt.Errorf("container %s not found in Pod %s", name, p.Metadata.Name)
	}
	return sum, nil
}

func (p *pod) sidecars() (out []container) {
	for i := range p.Spec.InitContainers {
		if p.Spec.InitContainers[i].sidecar() {
			out = append(out, p.Spec.InitContainers[i])
		}
	}
	return out
}

func (c *container) sidecar() bool { return c.RestartPolicy == "Always" }

// podLevel is the request that a pod makes as a whole, or what its containers make where
// it says nothing of the resource.
func (p *pod) podLevel(resource corev1.ResourceName) (int64, error) {
	var containers []corev1.ResourceList
	for i := range p.Spec.Containers {
		containers = append(containers, p.Spec.Containers[i].Resources.Requests)
	}
	var inits []podresources.Init
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		inits = append(inits, podresources.Init{ResourceList: c.Resources.Requests, Sidecar: c.sidecar()})
	}
	total := podresources.Total(containers, inits)
	for name, q := range p.Spec.Resources.Requests {
		total[name] = q
	}
	podresources.Add(total, p.Spec.Overhead)
	q, ok := total[resource]
	if !ok {
		return 0, fmt.Errorf("missing pod-level request for %s in Pod %s", resource, p.Metadata.Name)
	}
	return q.MilliValue(), nil
}
