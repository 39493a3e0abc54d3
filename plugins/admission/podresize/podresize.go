// Package podresize refuses to resize a pod beyond what its node can ever have, or on
// a node that cannot resize, as upstream's PodResizeValidator admission does: it
// would wait for ever. Whether there is room at present is the node's to say.
//
// KEP-1287.
package podresize

import (
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/plugins/podresources"
	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "pod-resize", New: func([]byte) (sdk.Points, error) {
		return &admission.Points{
			Match: []admission.MatchRule{{Operations: []admission.Operation{admission.Update}, Resources: []string{"v1/pods/resize"}, Present: []string{"spec.nodeName"}}},
			Fields: []string{"metadata.generation", "spec.nodeName", "spec.overhead", "spec.resources.requests", "spec.containers.resources.requests",
				"spec.initContainers.resources.requests", "spec.initContainers.restartPolicy"},
			Validate: validate,
		}, nil
	}})
}

// pod is what counts of one.
type pod struct {
	Spec struct {
		Containers     []container         `json:"containers"`
		InitContainers []container         `json:"initContainers"`
		Resources      requests            `json:"resources"` // as a whole
		Overhead       corev1.ResourceList `json:"overhead"`
	} `json:"spec"`
}

type container struct {
	Resources     requests `json:"resources"`
	RestartPolicy string   `json:"restartPolicy"`
}

type requests struct {
	Requests corev1.ResourceList `json:"requests"`
}

// node is what counts of a Node.
type node struct {
	Metadata struct {
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Status struct {
		Allocatable corev1.ResourceList `json:"allocatable"`
	} `json:"status"`
}

// APIResource implements client.Object.
func (*node) APIResource() string { return "v1/nodes" }

func validate(r *admission.Review) error {
	// The generation rises with every change of the spec.
	if r.Object.Get("metadata.generation").Int() == r.Old.Get("metadata.generation").Int() {
		return nil
	}
	name := r.Object.Get("spec.nodeName").String()
	var n node
	switch err := r.Reader.Get(&n, "", name); {
	case client.IsNotFound(err):
		return r.Forbid("node %q not found", name)
	case err != nil:
		return err
	}
	if system, ok := n.Metadata.Labels["kubernetes.io/os"]; ok && system != "linux" {
		return r.Forbid("pod resize is only supported on linux nodes, node %q is %q", name, system)
	}
	var p pod
	if err := r.Object.Decode(&p); err != nil {
		return err
	}
	if faults := beyond(p.requests(), n.Status.Allocatable); len(faults) > 0 {
		return r.Forbid("node didn't have enough allocatable resources: %s", strings.Join(faults, "; "))
	}
	return nil
}

// requests are what the pod needs at most at any time: as a whole where it says so,
// and its overhead.
func (p *pod) requests() corev1.ResourceList {
	containers := make([]corev1.ResourceList, len(p.Spec.Containers))
	for i := range p.Spec.Containers {
		containers[i] = p.Spec.Containers[i].Resources.Requests
	}
	inits := make([]podresources.Init, len(p.Spec.InitContainers))
	for i := range p.Spec.InitContainers {
		c := &p.Spec.InitContainers[i]
		inits[i] = podresources.Init{ResourceList: c.Resources.Requests, Sidecar: c.RestartPolicy == "Always"}
	}
	sum := podresources.Total(containers, inits)
	for name, q := range p.Spec.Resources.Requests {
		sum[name] = q
	}
	podresources.Add(sum, p.Spec.Overhead)
	return sum
}

// beyond tells of which resources more is asked for than there can be, in upstream's
// words.
func beyond(asked, allocatable corev1.ResourceList) (faults []string) {
	if a, b := asked[corev1.ResourceCPU], allocatable[corev1.ResourceCPU]; a.Cmp(b) > 0 {
		faults = append(faults, fmt.Sprintf("cpu, requested: %d, allocatable: %d", a.MilliValue(), b.MilliValue()))
	}
	if a, b := asked[corev1.ResourceMemory], allocatable[corev1.ResourceMemory]; a.Cmp(b) > 0 {
		faults = append(faults, fmt.Sprintf("memory, requested: %d, allocatable: %d", a.Value(), b.Value()))
	}
	return faults
}
