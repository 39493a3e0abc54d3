package quota

import (
	"slices"
	"strings"
	"time"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
)

// Usage is how much an object of a resource counts for each name that a quota could
// limit. A pod that has ended at now, or should have, is one object and nothing else.
func (o *Object) Usage(groupResource string, now time.Time) corev1.ResourceList {
	out := corev1.ResourceList{count(groupResource): "1"}
	switch groupResource {
	case Pods:
		if o.runs(now) {
			o.podUsage(out)
		}
	case Services:
		o.serviceUsage(out)
	case Claims:
		o.claimUsage(out)
	default:
		if alias, ok := aliases[groupResource]; ok {
			out[alias] = "1"
		}
	}
	return out
}

func count(groupResource string) corev1.ResourceName {
	return corev1.ResourceName("count/" + groupResource)
}

// aliases are the older names of counts.
var aliases = map[string]corev1.ResourceName{
	"configmaps": "configmaps", "resourcequotas": "resourcequotas", "replicationcontrollers": "replicationcontrollers", "secrets": "secrets",
}

// Reads tells of resources whose objects are looked into; of others there is one each.
func Reads(groupResource string) bool {
	return groupResource == Pods || groupResource == Services || groupResource == Claims
}

// Ignored tells of resources whose objects no quota counts: events, and what is never
// stored.
func Ignored(groupResource string) bool {
	switch groupResource {
	case "bindings", "componentstatuses", "events", "events.events.k8s.io":
		return true
	}
	return strings.HasSuffix(groupResource, ".authentication.k8s.io") || strings.HasSuffix(groupResource, ".authorization.k8s.io")
}

// Tracked are those of the names of a quota for which objects of a resource count, in
// order.
func Tracked(groupResource string, names corev1.ResourceList) (out []corev1.ResourceName) {
	for name := range names {
		if tracks(groupResource, string(name)) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

func tracks(groupResource, name string) bool {
	if name == string(count(groupResource)) {
		return true
	}
	switch groupResource {
	case Pods:
		return ofPods(name)
	case Services:
		return name == "services" || name == "services.nodeports" || name == "services.loadbalancers"
	case Claims:
		_, rest, of := strings.Cut(name, storageClass)
		if !of {
			rest = name
		}
		return rest == claims || rest == requestsStorage
	}
	return string(aliases[groupResource]) == name
}

func (o *Object) serviceUsage(out corev1.ResourceList) {
	out["services"], out["services.loadbalancers"], out["services.nodeports"] = "1", "0", "0"
	switch o.Spec.Type {
	case "NodePort":
		out["services.nodeports"] = resource.Whole(int64(len(o.Spec.Ports)))
	case "LoadBalancer":
		// None has its ports yet: what is meant counts.
		ports := len(o.Spec.Ports)
		if o.Spec.NodePorts != nil && !*o.Spec.NodePorts {
			ports = 0
			for _, p := range o.Spec.Ports {
				if p.NodePort != 0 {
					ports++
				}
			}
		}
		out["services.nodeports"], out["services.loadbalancers"] = resource.Whole(int64(ports)), "1"
	}
}

const (
	claims          = "persistentvolumeclaims"
	requestsStorage = "requests.storage"
	storageClass    = ".storageclass.storage.k8s.io/"
	classAnnotation = "volume.beta.kubernetes.io/storage-class"
)

func (o *Object) claimUsage(out corev1.ResourceList) {
	class := o.Metadata.Annotations[classAnnotation]
	if _, beta := o.Metadata.Annotations[classAnnotation]; !beta && o.Spec.StorageClassName != nil {
		class = *o.Spec.StorageClassName
	}
	add := func(name corev1.ResourceName, q resource.Quantity) {
		out[name] = q
		if class != "" {
			out[corev1.ResourceName(class+storageClass)+name] = q
		}
	}
	add(claims, "1")
	if q, ok := o.storage(); ok {
		add(requestsStorage, q)
	}
}

// storage is what a claim asks for, or what it was given where that is more, in whole
// bytes.
func (o *Object) storage() (resource.Quantity, bool) {
	if o.Spec.Resources == nil {
		return "", false
	}
	q, ok := o.Spec.Resources.Requests[corev1.ResourceStorage]
	if !ok {
		return "", false
	}
	if given, ok := o.Status.Allocated[corev1.ResourceStorage]; ok && given.Cmp(q) > 0 {
		q = given
	}
	if whole := resource.Whole(q.Value()); whole.Cmp(q) != 0 {
		q = whole
	}
	return q, true
}
