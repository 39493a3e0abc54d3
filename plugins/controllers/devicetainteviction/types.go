package devicetainteviction

import (
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const (
	pods     = "v1/pods"
	claims   = "resource.k8s.io/v1/resourceclaims"
	inSlices = "resource.k8s.io/v1/resourceslices"
	rules    = "resource.k8s.io/v1/devicetaintrules"
)

// Effects of device taints.
const (
	noExecute = "NoExecute"
	none      = "None" // of a rule: nothing happens yet, and its status says what would
)

// taint is a taint of a device.
type taint struct {
	Key       string      `json:"key"`
	Value     string      `json:"value,omitempty"`
	Effect    string      `json:"effect"`
	TimeAdded metav1.Time `json:"timeAdded,omitempty"`
}

// toleration is what a claim bears.
type toleration struct {
	Key      string `json:"key,omitempty"`
	Operator string `json:"operator,omitempty"`
	Value    string `json:"value,omitempty"`
	Effect   string `json:"effect,omitempty"`
	Seconds  *int64 `json:"tolerationSeconds,omitempty"`
}

// slice are devices, as their driver publishes them.
type slice struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Driver string `json:"driver"`
		Pool   struct {
			Name       string `json:"name"`
			Generation int64  `json:"generation"`
		} `json:"pool"`
		Devices []device `json:"devices"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*slice) APIResource() string { return inSlices }

type device struct {
	Name   string  `json:"name"`
	Taints []taint `json:"taints,omitempty"`
}

// rule taints devices that somebody selects.
type rule struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		Selector *selector `json:"deviceSelector,omitempty"`
		Taint    taint     `json:"taint"`
	} `json:"spec"`
	Status struct {
		Conditions []condition `json:"conditions,omitempty"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*rule) APIResource() string { return rules }

type selector struct {
	Driver *string `json:"driver,omitempty"`
	Pool   *string `json:"pool,omitempty"`
	Device *string `json:"device,omitempty"`
}

type condition struct {
	Type               string      `json:"type"`
	Status             string      `json:"status"`
	ObservedGeneration int64       `json:"observedGeneration,omitempty"`
	LastTransitionTime metav1.Time `json:"lastTransitionTime"`
	Reason             string      `json:"reason"`
	Message            string      `json:"message"`
}

// claim is what counts of a ResourceClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		Allocation *struct {
			Devices struct {
				Results []result `json:"results"`
			} `json:"devices"`
		} `json:"allocation,omitempty"`
		ReservedFor []consumer `json:"reservedFor,omitempty"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// result is a device that a claim has.
type result struct {
	Driver      string       `json:"driver"`
	Pool        string       `json:"pool"`
	Device      string       `json:"device"`
	Tolerations []toleration `json:"tolerations,omitempty"`
}

type consumer struct {
	APIGroup string `json:"apiGroup,omitempty"`
	Resource string `json:"resource"`
	Name     string `json:"name"`
	UID      string `json:"uid"`
}

// pod is what counts of a Pod.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName string `json:"nodeName,omitempty"`
		Claims   []struct {
			Name      string  `json:"name"`
			ClaimName *string `json:"resourceClaimName,omitempty"`
		} `json:"resourceClaims,omitempty"`
	} `json:"spec"`
	Status struct {
		Phase      corev1.PodPhase       `json:"phase,omitempty"`
		Conditions []corev1.PodCondition `json:"conditions,omitempty"`
		Claims     []struct {
			Name      string  `json:"name"`
			ClaimName *string `json:"resourceClaimName,omitempty"`
		} `json:"resourceClaimStatuses,omitempty"`
		Extended *struct {
			ClaimName string `json:"resourceClaimName"`
		} `json:"extendedResourceClaimStatus,omitempty"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }
