package quota

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

const (
	requestsPrefix  = "requests."
	hugePages       = "hugepages-"
	deviceClass     = "deviceclass.resource.kubernetes.io/"
	nativeNamespace = "kubernetes.io/"
)

// counted are the resources of containers that a quota names as they are (requests),
// and with "requests." and "limits." before them.
var counted = []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}

func ofPods(name string) bool {
	rest, requested := strings.CutPrefix(name, requestsPrefix)
	limit, limited := strings.CutPrefix(name, "limits.")
	switch {
	case name == Pods, slices.Contains(counted, corev1.ResourceName(rest)):
		return true
	case limited && slices.Contains(counted, corev1.ResourceName(limit)):
		return true
	case strings.HasPrefix(rest, hugePages):
		return true
	}
	return requested && (extended(name) || strings.HasPrefix(rest, deviceClass))
}

// extended resources have a domain, which is not Kubernetes' own.
func extended(name string) bool {
	return strings.Contains(name, "/") && !strings.Contains(name, nativeNamespace)
}

// runs tells whether a pod counts for more than an object: it has not ended, nor been
// deleted longer ago than its grace period.
func (o *Object) runs(now time.Time) bool {
	if o.Status.Phase == string(corev1.PodFailed) || o.Status.Phase == string(corev1.PodSucceeded) {
		return false
	}
	end, deleted := o.Ends()
	return !deleted || !now.After(end)
}

// Ends is when a pod that is being deleted counts no more; false when it is not.
func (o *Object) Ends() (time.Time, bool) {
	if o.Metadata.Deleted == nil || o.Metadata.Grace == nil {
		return time.Time{}, false
	}
	return o.Metadata.Deleted.Time().Add(time.Duration(*o.Metadata.Grace) * time.Second), true
}

func (o *Object) podUsage(out corev1.ResourceList) {
	name(out, o.requests(), o.limits())
}

// name gives requests and limits the names that quotas have for them.
func name(out, requests, limits corev1.ResourceList) {
	out[Pods] = "1"
	for _, r := range counted {
		if q, ok := requests[r]; ok {
			out[r], out[requestsPrefix+r] = q, q
		}
		if q, ok := limits[r]; ok {
			out["limits."+r] = q
		}
	}
	for r, q := range requests {
		switch {
		case strings.HasPrefix(string(r), hugePages):
			out[r], out[requestsPrefix+r] = q, q
		case extended(string(r)) && !strings.HasPrefix(string(r), requestsPrefix), strings.HasPrefix(string(r), deviceClass):
			out[requestsPrefix+r] = q
		}
	}
}

// required are the names that, where a quota has them, every container must say
// something about.
var required = []corev1.ResourceName{"cpu", "limits.cpu", "limits.memory", "memory", "requests.cpu", "requests.memory"}

// Missing says what the containers of a pod must specify because of the names that a
// quota has, and do not; "" when nothing.
func (o *Object) Missing(names []corev1.ResourceName) string {
	if o.hasPodLevel() {
		return ""
	}
	var missing []string
	for _, r := range required {
		if !slices.Contains(names, r) {
			continue
		}
		var of []string
		for _, c := range slices.Concat(o.Spec.Containers, o.Spec.InitContainers) {
			has := corev1.ResourceList{}
			name(has, c.Resources.Requests, c.Resources.Limits)
			if _, ok := has[r]; !ok {
				of = append(of, c.Name)
			}
		}
		if len(of) > 0 {
			slices.Sort(of)
			missing = append(missing, fmt.Sprintf("%s for: %s", r, strings.Join(slices.Compact(of), ",")))
		}
	}
	if len(missing) == 0 {
		return ""
	}
	return "must specify " + strings.Join(missing, "; ")
}
