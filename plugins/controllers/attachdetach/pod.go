package attachdetach

import (
	"slices"

	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
)

// pod is what the controller looks at in a Pod.
type pod struct {
	metav1.ObjectMeta `json:"metadata"`
	Spec              struct {
		NodeName string `json:"nodeName"`
		Volumes  []struct {
			Name  string `json:"name"`
			Claim *struct {
				Name string `json:"claimName"`
			} `json:"persistentVolumeClaim"`
			Ephemeral *struct{} `json:"ephemeral"`
		} `json:"volumes"`
	} `json:"spec"`
	Status struct {
		Phase      string            `json:"phase"`
		Init       []containerStatus `json:"initContainerStatuses"`
		Containers []containerStatus `json:"containerStatuses"`
		Ephemeral  []containerStatus `json:"ephemeralContainerStatuses"`
	} `json:"status"`
}

type containerStatus struct {
	State struct {
		Waiting    *struct{} `json:"waiting"`
		Terminated *struct{} `json:"terminated"`
	} `json:"state"`
}

// APIResource implements client.Object.
func (*pod) APIResource() string { return pods }

// terminated tells that no container of the pod runs, or will.
func (p *pod) terminated() bool {
	s := &p.Status
	return s.Phase == "Failed" || s.Phase == "Succeeded" ||
		p.DeletionTimestamp != nil && !slices.ContainsFunc(slices.Concat(s.Init, s.Containers, s.Ephemeral), containerStatus.running)
}

func (s containerStatus) running() bool { return s.State.Waiting == nil && s.State.Terminated == nil }

// claims are the names of the claims that the pod's volumes are.
func (p *pod) claims() []string {
	var out []string
	for _, v := range p.Spec.Volumes {
		switch {
		case v.Claim != nil:
			out = append(out, v.Claim.Name)
		case v.Ephemeral != nil:
			out = append(out, p.Name+"-"+v.Name)
		}
	}
	return out
}

// owns tells that one of the pod's ephemeral volumes is the claim.
func (p *pod) owns(c *claim) bool {
	if o := metav1.ControllerOf(c); o == nil || o.UID != p.UID {
		return false
	}
	for _, v := range p.Spec.Volumes {
		if v.Ephemeral != nil && p.Name+"-"+v.Name == c.Name {
			return true
		}
	}
	return false
}

// GetObjectMeta implements metav1.Accessor.
func (c *claim) GetObjectMeta() *metav1.ObjectMeta { return &c.ObjectMeta }
