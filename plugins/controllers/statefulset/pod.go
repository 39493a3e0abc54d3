package statefulset

import (
	"strconv"
	"strings"
	"time"

	appsv1 "github.com/pintle-io/pintle/sdk/api/apps/v1"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// pod is what the controller looks at in a pod. It is read for every pod of a
// StatefulSet at every change, so it holds nothing else, and what was found in it is
// kept: a pod that has not changed is the same object in the next round.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Volumes []volume `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase `json:"phase"`
		Conditions []condition     `json:"conditions"`
	} `json:"status"`

	found struct {
		readiness, ready bool // whether it was looked for, and what it is
		since            time.Time
		set              string // of which n is the ordinal, -1 being none
		n                int
	}
}

// volume is one as far as it is a claim's.
type volume struct {
	Name  string     `json:"name"`
	Claim *claimName `json:"persistentVolumeClaim"`
}

type claimName struct {
	ClaimName string `json:"claimName"`
}

type condition struct {
	Type               corev1.PodConditionType `json:"type"`
	Status             corev1.ConditionStatus  `json:"status"`
	LastTransitionTime metav1.Time             `json:"lastTransitionTime"`
}

// APIResource makes a pod a client.Object.
func (*pod) APIResource() string { return "v1/pods" }

func (p *pod) created() bool  { return p.Status.Phase != "" }
func (p *pod) pending() bool  { return p.Status.Phase == corev1.PodPending }
func (p *pod) deleting() bool { return p.DeletionTimestamp != nil }
func (p *pod) finished() bool {
	return p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
}

// revision is the name of the one that the pod was made of.
func (p *pod) revision() string { return p.Labels[appsv1.StatefulSetRevisionLabel] }

// isReady is the pod's condition, whatever its phase; since when comes with it.
func (p *pod) isReady() (since time.Time, ok bool) {
	f := &p.found
	if f.readiness {
		return f.since, f.ready
	}
	f.readiness = true
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			f.since, f.ready = c.LastTransitionTime.Time(), true
			break
		}
	}
	return f.since, f.ready
}

func (p *pod) runningAndReady() bool {
	_, ok := p.isReady()
	return ok && p.Status.Phase == corev1.PodRunning
}

// availableIn is how long it takes until a ready pod has been so for minReady;
// ok is false when it is not ready.
func (p *pod) availableIn(minReady time.Duration, now time.Time) (wait time.Duration, ok bool) {
	since, ok := p.isReady()
	switch {
	case !ok:
		return 0, false
	case minReady <= 0:
		return 0, true // whatever the node's clock says
	case since.IsZero():
		return minReady, true
	}
	return max(since.Add(minReady).Sub(now), 0), true
}

// claim is what the controller looks at in a PersistentVolumeClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
}

// APIResource makes a claim a client.Object.
func (*claim) APIResource() string { return "v1/persistentvolumeclaims" }

// podName is the identity of the pod with an ordinal.
func podName(set *appsv1.StatefulSet, ordinal int) string {
	return set.Name + "-" + strconv.Itoa(ordinal)
}

// claimOf names the claim of a template for the pod with an ordinal.
func claimOf(set *appsv1.StatefulSet, template string, ordinal int) string {
	return template + "-" + podName(set, ordinal)
}

// ordinalOf is the ordinal of a pod by its name; ok is false for a name that the
// set gives to none of its pods, such as one with zeros in front of the number.
func ordinalOf(set *appsv1.StatefulSet, name string) (ordinal int, ok bool) {
	digits, ok := strings.CutPrefix(name, set.Name+"-")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || n < 0 || strconv.FormatInt(n, 10) != digits {
		return 0, false
	}
	return int(n), true
}

// ordinal is that of the pod in a set.
func (p *pod) ordinal(set *appsv1.StatefulSet) (n int, ok bool) {
	f := &p.found
	if f.set != set.Name {
		f.set, f.n = set.Name, -1
		if n, ok := ordinalOf(set, p.Name); ok {
			f.n = n
		}
	}
	return f.n, f.n >= 0
}

// start is the ordinal of the first pod.
func start(set *appsv1.StatefulSet) int {
	if set.Spec.Ordinals == nil {
		return 0
	}
	return int(set.Spec.Ordinals.Start)
}

// wanted is the number of pods that the set asks for.
func wanted(set *appsv1.StatefulSet) int {
	if set.Spec.Replicas == nil {
		return 1
	}
	return int(*set.Spec.Replicas)
}

// inRange tells whether the set asks for the pod with an ordinal.
func inRange(set *appsv1.StatefulSet, ordinal int) bool {
	return ordinal >= start(set) && ordinal-start(set) < wanted(set)
}
