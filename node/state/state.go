// Package state holds what the container runtime knows about a pod, in the
// plain words that the pure parts of the node agent work with, and the labels
// and annotations through which the agent finds its pods again after a
// restart. It has no behaviour of its own but reading; values are not changed
// after they were made and may be shared.
package state

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Labels on sandboxes and containers; the names are upstream's, so that
// crictl and other tools understand them.
const (
	LabelPodName       = "io.kubernetes.pod.name"
	LabelPodNamespace  = "io.kubernetes.pod.namespace"
	LabelPodUID        = "io.kubernetes.pod.uid"
	LabelContainerName = "io.kubernetes.container.name"
)

// Annotations on containers.
// RATIONALE.md: "Why do instances carry a round?"
const (
	AnnotationHash                = "io.kubernetes.container.hash"
	AnnotationRestartCount        = "io.kubernetes.container.restartCount"
	AnnotationTerminationPath     = "io.kubernetes.container.terminationMessagePath"
	AnnotationTerminationPolicy   = "io.kubernetes.container.terminationMessagePolicy"
	AnnotationBackOff             = "pintle.dev/container.backOff"
	AnnotationRound               = "pintle.dev/container.round"
	AnnotationTerminationHostPath = "pintle.dev/container.terminationMessageHostPath"
	// AnnotationResources holds what the instance was made with, as the API
	// writes it: the runtime knows neither requests of memory nor exact ones.
	AnnotationResources = "pintle.dev/container.resources"
)

// Pod is what the runtime holds of one pod.
type Pod struct {
	UID             types.UID
	Namespace, Name string
	// Sandboxes and Containers are newest first.
	Sandboxes  []Sandbox
	Containers []Container
}

// Sandbox is one attempt at a pod's sandbox.
type Sandbox struct {
	ID        string
	Attempt   uint32
	Ready     bool
	CreatedAt time.Time
	// HostNetwork tells that the sandbox shares the node's network.
	HostNetwork bool
	// IPs are the pod's addresses; empty with the host's network.
	IPs []string
}

// Phase is the state of a container.
type Phase int

// The phases of a container, in the order in which it goes through them.
const (
	Unknown Phase = iota
	Created
	Running
	Exited
)

// String is the phase's name in lower case.
func (p Phase) String() string {
	return [...]string{"unknown", "created", "running", "exited"}[p]
}

// Container is one instance of one container of a pod.
type Container struct {
	ID        string
	Name      string
	SandboxID string
	Phase     Phase
	// Restarts is how often the container had been restarted when this
	// instance was made: 0 for the first.
	Restarts int32
	// Round is how often all containers of the pod had been restarted together
	// when this instance was made.
	Round int32
	// BackOff is how long to wait after this instance's end before the next
	// starts; 0 for at once.
	BackOff                          time.Duration
	CreatedAt, StartedAt, FinishedAt time.Time
	ExitCode                         int32
	Reason                           string
	Message                          string
	// Image is the reference asked for, ImageRef the digest that it was
	// resolved to, ImageID the runtime's name of the image.
	Image, ImageRef, ImageID string
	LogPath                  string
	// Finished tells that Message is complete: the last words were read.
	Finished bool
	// TerminationMessagePath is the file, on the node, that the container may
	// leave its last words in; TerminationMessagePolicy is the API's word for
	// what stands in when it is empty.
	TerminationMessagePath, TerminationMessagePolicy string
	// Hash identifies the container's spec that this instance was made from.
	Hash string
	// Granted is what the instance was made with, or resized to since; nil when
	// that is not known.
	Granted *corev1.ResourceRequirements
	// Actual is how the runtime says that a running instance is limited; nil
	// when it does not say.
	Actual *Limits
	// Replace tells that another instance is to take this one's place, whatever
	// its exit code.
	Replace bool
	// MustRestart tells the same of one that was ended for a fault of its own, such as
	// a failed probe: what crashed so often must wait.
	MustRestart bool
}

// Limits are the kernel's bounds of one container; zero is none.
type Limits struct {
	// CPUShares is its weight, CPUQuota the time in microseconds that it may
	// run per CPUPeriod, Memory in bytes.
	CPUShares, CPUQuota, CPUPeriod, Memory int64
}

// Sandbox returns the newest sandbox, nil when there is none.
func (p *Pod) Sandbox() *Sandbox {
	if p == nil || len(p.Sandboxes) == 0 {
		return nil
	}
	return &p.Sandboxes[0]
}

// ReadySandbox returns the newest sandbox if it is ready, else nil.
func (p *Pod) ReadySandbox() *Sandbox {
	if s := p.Sandbox(); s != nil && s.Ready {
		return s
	}
	return nil
}

// Latest returns the newest instance of the named container, nil when there
// is none.
func (p *Pod) Latest(name string) *Container {
	return p.nth(name, 0)
}

// Previous returns the instance before the newest, nil when there is none.
func (p *Pod) Previous(name string) *Container {
	return p.nth(name, 1)
}

func (p *Pod) nth(name string, n int) *Container {
	if p == nil {
		return nil
	}
	for i := range p.Containers {
		if p.Containers[i].Name == name {
			if n == 0 {
				return &p.Containers[i]
			}
			n--
		}
	}
	return nil
}

// Active reports whether any container may still run a process.
func (p *Pod) Active() bool {
	return p != nil && slices.ContainsFunc(p.Containers, func(c Container) bool { return c.Phase != Exited })
}

// Empty reports whether the runtime holds nothing of the pod.
func (p *Pod) Empty() bool { return p == nil || len(p.Sandboxes) == 0 && len(p.Containers) == 0 }

// Sort puts the newest sandboxes and containers first. It is called once,
// by whoever fills in a Pod.
func (p *Pod) Sort() {
	slices.SortStableFunc(p.Sandboxes, func(a, b Sandbox) int { return b.CreatedAt.Compare(a.CreatedAt) })
	slices.SortStableFunc(p.Containers, func(a, b Container) int { return b.CreatedAt.Compare(a.CreatedAt) })
}
