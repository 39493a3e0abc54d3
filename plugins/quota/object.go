// Package quota is the arithmetic of ResourceQuotas, as upstream's evaluators have
// it: which resources of a quota an object counts for, whether its scopes hold the
// object, and how much the object uses. The admission rule that charges and the
// controller that counts share it, so that both come to the same sums.
//
// Everything is a pure function of its arguments. Begin at [Object.Usage].
package quota

import (
	"strings"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// The resources whose objects count for more than their number.
const (
	Pods     = "pods"
	Services = "services"
	Claims   = "persistentvolumeclaims"
)

// GroupResource is how a quota names the resource "apps/v1/deployments":
// "deployments.apps".
func GroupResource(path string) string {
	p := strings.Split(path, "/")
	if len(p) == 3 {
		return p[2] + "." + p[0]
	}
	return p[len(p)-1]
}

// Object is what counts of an object of any kind: those fields of a pod, a Service
// and a PersistentVolumeClaim. Fields lists them.
type Object struct {
	Metadata struct {
		UID         string            `json:"uid"`
		Annotations map[string]string `json:"annotations"`
		Deleted     *metav1.Time      `json:"deletionTimestamp"`
		Grace       *int64            `json:"deletionGracePeriodSeconds"`
	} `json:"metadata"`
	Spec   spec   `json:"spec"`
	Status status `json:"status"`
}

type spec struct {
	// Of a pod; Resources of a claim, too.
	Containers            []container                  `json:"containers"`
	InitContainers        []container                  `json:"initContainers"`
	Resources             *corev1.ResourceRequirements `json:"resources"`
	Overhead              corev1.ResourceList          `json:"overhead"`
	ActiveDeadlineSeconds *int64                       `json:"activeDeadlineSeconds"`
	PriorityClassName     string                       `json:"priorityClassName"`
	Affinity              *affinity                    `json:"affinity"`
	// Of a Service.
	Type      string `json:"type"`
	Ports     []port `json:"ports"`
	NodePorts *bool  `json:"allocateLoadBalancerNodePorts"`
	// Of a claim.
	StorageClassName *string `json:"storageClassName"`
	AttributesClass  *string `json:"volumeAttributesClassName"`
}

type port struct {
	NodePort int64 `json:"nodePort"`
}

type container struct {
	Name          string                      `json:"name"`
	Resources     corev1.ResourceRequirements `json:"resources"`
	RestartPolicy string                      `json:"restartPolicy"`
}

type affinity struct {
	Pod  terms `json:"podAffinity"`
	Anti terms `json:"podAntiAffinity"`
}

type terms struct {
	Required  []term `json:"requiredDuringSchedulingIgnoredDuringExecution"`
	Preferred []struct {
		Term term `json:"podAffinityTerm"`
	} `json:"preferredDuringSchedulingIgnoredDuringExecution"`
}

type term struct {
	Namespaces        []string              `json:"namespaces"`
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector"`
}

type status struct {
	// Of a pod.
	Phase                 string            `json:"phase"`
	QOSClass              string            `json:"qosClass"`
	Conditions            []condition       `json:"conditions"`
	ContainerStatuses     []containerStatus `json:"containerStatuses"`
	InitContainerStatuses []containerStatus `json:"initContainerStatuses"`
	// Of a claim.
	Allocated       corev1.ResourceList `json:"allocatedResources"`
	AttributesClass string              `json:"currentVolumeAttributesClassName"`
	Modify          *struct {
		AttributesClass string `json:"targetVolumeAttributesClassName"`
	} `json:"modifyVolumeStatus"`
}

type condition struct {
	Type   string `json:"type"`
	Reason string `json:"reason"`
}

type containerStatus struct {
	Name      string                       `json:"name"`
	Resources *corev1.ResourceRequirements `json:"resources"`
	Allocated corev1.ResourceList          `json:"allocatedResources"`
}

// Fields are the paths of Object.
var Fields = []string{
	"metadata.uid", "metadata.annotations", "metadata.deletionTimestamp", "metadata.deletionGracePeriodSeconds",
	"spec.containers.name", "spec.containers.resources", "spec.containers.restartPolicy",
	"spec.initContainers.name", "spec.initContainers.resources", "spec.initContainers.restartPolicy",
	"spec.resources", "spec.overhead", "spec.activeDeadlineSeconds", "spec.priorityClassName", "spec.affinity",
	"spec.type", "spec.ports.nodePort", "spec.allocateLoadBalancerNodePorts", "spec.storageClassName", "spec.volumeAttributesClassName",
	"status.phase", "status.qosClass", "status.conditions.type", "status.conditions.reason",
	"status.containerStatuses.name", "status.containerStatuses.resources", "status.containerStatuses.allocatedResources",
	"status.initContainerStatuses.name", "status.initContainerStatuses.resources", "status.initContainerStatuses.allocatedResources",
	"status.allocatedResources", "status.currentVolumeAttributesClassName", "status.modifyVolumeStatus",
}
