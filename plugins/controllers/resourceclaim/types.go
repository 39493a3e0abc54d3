package resourceclaim

import (
	"encoding/json"

	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

const (
	pods      = "v1/pods"
	claims    = "resource.k8s.io/v1/resourceclaims"
	templates = "resource.k8s.io/v1/resourceclaimtemplates"

	// finalizer holds a claim that is allocated; whoever allocates sets it.
	finalizer = "resource.kubernetes.io/delete-protection"
	// annotation says of which of its pod's claims a claim was made.
	annotation = "resource.kubernetes.io/pod-claim-name"
)

// pod is what the controller looks at in a Pod.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName string     `json:"nodeName"`
		Claims   []podClaim `json:"resourceClaims"`
	} `json:"spec"`
	Status struct {
		Phase  corev1.PodPhase `json:"phase"`
		Claims []claimStatus   `json:"resourceClaimStatuses"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }

// podClaim is a claim as a pod names it: one that there is, or one to be made from a
// template.
type podClaim struct {
	Name         string  `json:"name"`
	ClaimName    *string `json:"resourceClaimName,omitempty"`
	TemplateName *string `json:"resourceClaimTemplateName,omitempty"`
}

// claimStatus says which claim was made; without a name that none is needed.
type claimStatus struct {
	Name      string  `json:"name"`
	ClaimName *string `json:"resourceClaimName,omitempty"`
}

// claim is what the controller looks at in a ResourceClaim.
type claim struct {
	metav1.ObjectMeta `json:"metadata"`
	Status            struct {
		// Allocation is set while the claim has devices; which they are is no matter here.
		Allocation  *struct{}  `json:"allocation"`
		ReservedFor []consumer `json:"reservedFor"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*claim) APIResource() string { return claims }

// consumer is who may use an allocated claim.
type consumer struct {
	APIGroup string `json:"apiGroup,omitempty"`
	Resource string `json:"resource"`
	Name     string `json:"name"`
	UID      string `json:"uid"`
}

// template is what claims are made of.
type template struct {
	Spec struct {
		Metadata struct {
			Labels      map[string]string `json:"labels"`
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec json.RawMessage `json:"spec"`
	} `json:"spec"`
}

// APIResource implements client.Object.
func (*template) APIResource() string { return templates }

// newClaim is a claim to be created, with its spec as the template has it.
type newClaim struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              json.RawMessage `json:"spec"`
}

// APIResource implements client.Object.
func (*newClaim) APIResource() string { return claims }
