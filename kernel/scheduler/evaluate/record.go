package evaluate

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pintle-io/pintle/kernel/plugin/projection"
	"github.com/pintle-io/pintle/sdk/wire/columns"
	"github.com/pintle-io/pintle/sdk/wire/record"
)

// Pod is a pod without a node, to decide about: the API's object and what the
// scheduler makes of it, with the records that plugins were given of it. It is
// used by one goroutine.
type Pod struct {
	view    view
	records []encoded
}

// encoded is the record of what one plugin declares.
type encoded struct {
	plan  *record.Plan
	bytes []byte
}

// NewPod prepares to decide about a pod; u is what it would take from a node.
// Neither may change until the decision is made.
func NewPod(p *corev1.Pod, u *columns.Usage) *Pod {
	return &Pod{view: view{Metadata: &p.ObjectMeta, Spec: &p.Spec, Status: &p.Status, Effective: effective{
		Requests: &u.Requests, NonZero: columns.Resources{MilliCPU: u.NonZeroCPU, Memory: u.NonZeroMemory},
		Images: images{&p.Spec}, HostPorts: u.Ports, Claims: claimsOf(p),
	}}}
}

// view is a pod as plugins see it: every field of the API's, under its name, and
// those that the scheduler works out once for all plugins.
type view struct {
	Metadata  *metav1.ObjectMeta `json:"metadata"`
	Spec      *corev1.PodSpec    `json:"spec"`
	Status    *corev1.PodStatus  `json:"status"`
	Effective effective          `json:"effective"`
}

type effective struct {
	// Requests is what the pod needs of a node: init containers, sidecars,
	// overhead, pod-level resources and resizes are in it.
	Requests *columns.Resources `json:"requests"`
	// NonZero is Requests where a container without a request counts with a
	// default.
	NonZero columns.Resources `json:"nonZeroRequests"`
	// Images are those of init containers, containers and image volumes.
	Images images `json:"images"`
	// HostPorts are those of containers that run as long as the pod does.
	HostPorts []columns.HostPort `json:"hostPorts,omitempty"`
	// Claims are the PersistentVolumeClaims of the pod's volumes.
	Claims []columns.Claim `json:"claims,omitempty"`
}

// claimsOf lists the claims of a pod; nil when it has none, as most pods.
func claimsOf(p *corev1.Pod) (out []columns.Claim) {
	for i := range p.Spec.Volumes {
		v := &p.Spec.Volumes[i]
		switch {
		case v.PersistentVolumeClaim != nil:
			out = append(out, columns.Claim{Namespace: p.Namespace, Name: v.PersistentVolumeClaim.ClaimName})
		case v.Ephemeral != nil: // the claim is made for this pod alone
			out = append(out, columns.Claim{Namespace: p.Namespace, Name: p.Name + "-" + v.Name, PodName: p.Name, PodUID: string(p.UID)})
		}
	}
	return out
}

// images stands for the images of a spec: the list is made when it is asked for.
type images struct{ spec *corev1.PodSpec }

func (i images) append(b []byte) []byte {
	s := i.spec
	n := len(s.InitContainers) + len(s.Containers)
	for k := range s.Volumes {
		if s.Volumes[k].Image != nil {
			n++
		}
	}
	b, at := record.BeginList(b, n)
	for k := range s.InitContainers {
		b = record.AppendString(b, s.InitContainers[k].Image)
	}
	for k := range s.Containers {
		b = record.AppendString(b, s.Containers[k].Image)
	}
	for k := range s.Volumes {
		if v := s.Volumes[k].Image; v != nil {
			b = record.AppendString(b, v.Reference)
		}
	}
	record.End(b, at)
	return b
}

var encoder = newEncoder()

func newEncoder() *record.Encoder {
	forms := projection.Forms()
	record.AddForm(forms, func(b []byte, i *images) ([]byte, error) { return i.append(b), nil })
	return record.NewEncoder(forms)
}

// record is what a plugin with this plan is given; nothing for no plan.
func (p *Pod) record(plan *record.Plan) ([]byte, error) {
	if plan == nil {
		return nil, nil
	}
	for i := range p.records {
		if p.records[i].plan == plan {
			return p.records[i].bytes, nil
		}
	}
	b, err := plan.Append(make([]byte, 0, 512), &p.view)
	if err == nil {
		p.records = append(p.records, encoded{plan, b})
	}
	return b, err
}
