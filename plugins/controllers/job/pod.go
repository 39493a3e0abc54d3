package job

import (
	"slices"
	"strconv"
	"time"

	batchv1 "github.com/pintle-io/pintle/sdk/api/batch/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

// pod is what the controller looks at in a pod. It is read for every pod of a
// Job that changed, so it holds nothing else, and what was found in it is kept: a pod
// that has not changed is the same object in the next round.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName       string          `json:"nodeName"`
		InitContainers []initContainer `json:"initContainers"`
	} `json:"spec"`
	Status struct {
		Phase                 corev1.PodPhase `json:"phase"`
		Conditions            []condition     `json:"conditions"`
		InitContainerStatuses []container     `json:"initContainerStatuses"`
		ContainerStatuses     []container     `json:"containerStatuses"`
	} `json:"status"`

	found *findings // nil before they are looked for
}

type findings struct {
	tracked, ready bool
	readySince     time.Time
	index          int
}

type initContainer struct {
	Name          string `json:"name"`
	RestartPolicy string `json:"restartPolicy"`
}

type condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

type container struct {
	Name         string `json:"name"`
	RestartCount int32  `json:"restartCount"`
	State        struct {
		Terminated *terminated `json:"terminated"`
	} `json:"state"`
}

type terminated struct {
	ExitCode   int32       `json:"exitCode"`
	FinishedAt metav1.Time `json:"finishedAt"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) succeeded() bool { return p.Status.Phase == corev1.PodSucceeded }

func (p *pod) finished() bool { return p.succeeded() || p.Status.Phase == corev1.PodFailed }

func (p *pod) deleting() bool { return p.DeletionTimestamp != nil }

func (p *pod) active() bool { return !p.finished() && !p.deleting() }

// terminating tells that the pod is being deleted and has not come to its end.
func (p *pod) terminating() bool { return !p.finished() && p.deleting() }

// find looks once into a pod.
func (p *pod) find() *findings {
	if p.found != nil {
		return p.found
	}
	f := &findings{tracked: slices.Contains(p.Finalizers, batchv1.JobTrackingFinalizer), index: unknownIndex}
	for i := range p.Status.Conditions {
		if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
			f.readySince, f.ready = c.LastTransitionTime.Time(), c.Status == corev1.ConditionTrue
			break
		}
	}
	if i, err := strconv.Atoi(p.Annotations[batchv1.JobCompletionIndexAnnotation]); err == nil && i >= 0 {
		f.index = i
	}
	p.found = f
	return f
}

// tracked tells that the pod has not been counted, or not let go of: it has the
// finalizer.
func (p *pod) tracked() bool { return p.find().tracked }

func (p *pod) ready() bool { return p.find().ready }

// readySince is when the Ready condition was last changed; ok tells whether it
// is true.
func (p *pod) readySince() (at time.Time, ok bool) {
	f := p.find()
	return f.readySince, f.ready
}

// restarts is the highest count of the pod's containers.
func (p *pod) restarts() int32 {
	var most int32
	for _, list := range [][]container{p.Status.ContainerStatuses, p.Status.InitContainerStatuses} {
		for i := range list {
			most = max(most, list[i].RestartCount)
		}
	}
	return most
}

// unknownIndex is that of a pod without a valid one.
const unknownIndex = -1

// index is the pod's completion index.
func (p *pod) index() int { return p.find().index }

// finishedAt is when the pod came to its end: when the last container did; or
// else when it was no longer ready; or when its deletion was asked for; or, if
// nothing is known, when it was made.
func (p *pod) finishedAt() time.Time {
	if t := p.containersFinishedAt(); !t.IsZero() {
		return t
	}
	if at, ready := p.readySince(); !ready && !at.IsZero() {
		return at
	}
	if p.DeletionTimestamp != nil {
		grace := time.Duration(0)
		if s := p.DeletionGracePeriodSeconds; s != nil {
			grace = time.Duration(*s) * time.Second
		}
		return p.DeletionTimestamp.Time().Add(-grace)
	}
	return p.CreationTimestamp.Time()
}

// containersFinishedAt is when the last of the containers ended, sidecars
// included (they end last); zero while one runs, or nothing is known of it.
func (p *pod) containersFinishedAt() time.Time {
	latest, ok := latestEnd(time.Time{}, p.Status.ContainerStatuses, nil)
	if !ok {
		latest = time.Time{}
	}
	sidecars := func(c *container) bool {
		return slices.ContainsFunc(p.Spec.InitContainers, func(i initContainer) bool { return i.Name == c.Name && i.RestartPolicy == "Always" })
	}
	latest, ok = latestEnd(latest, p.Status.InitContainerStatuses, sidecars)
	if !ok {
		return time.Time{}
	}
	return latest
}

func latestEnd(latest time.Time, list []container, of func(*container) bool) (end time.Time, ok bool) {
	for i := range list {
		c := &list[i]
		if of != nil && !of(c) {
			continue
		}
		if c.State.Terminated == nil || c.State.Terminated.FinishedAt.IsZero() {
			return time.Time{}, false
		}
		if at := c.State.Terminated.FinishedAt.Time(); at.After(latest) {
			latest = at
		}
	}
	return latest, true
}

// draft is a pod to be made, of which only the metadata comes back.
type draft struct {
	metav1.ObjectMeta `json:"metadata"`
	body              []byte
}

// APIResource makes a draft a client.Object.
func (*draft) APIResource() string { return "v1/pods" }

// EncodedJSON makes a draft a client.Encoded.
func (d *draft) EncodedJSON() []byte { return d.body }

var _ client.Encoded = (*draft)(nil)
