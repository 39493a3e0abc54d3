package suite

import (
	"encoding/json"

	"github.com/pintle-io/pintle/sdk"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/scheduling"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "suite-pod", New: func([]byte) (sdk.Points, error) {
		return &scheduling.Points{PreFilter: tellPod, Fields: []string{"metadata.labels[app/x]"}}, nil
	}})
}

// Seen is what the plugin suite-pod saw of a pod: by the methods of Pod, by a type
// and by path.
type Seen struct {
	Namespace, NodeName, Label string
	Priority                   int32
	Selector                   map[string]string
	Requests, NonZero          scheduling.Resources
	Affinity                   *scheduling.NodeAffinity
	Tolerations                []scheduling.Toleration
	Images                     []string
	Ports                      []scheduling.HostPort
	Typed                      Typed
	Group                      string
	Unknown                    bool
}

// Typed are fields that no method of Pod reads.
type Typed struct {
	Metadata struct {
		OwnerReferences []metav1.OwnerReference `json:"ownerReferences"`
	} `json:"metadata"`
	Spec struct {
		Constraints    []corev1.TopologySpreadConstraint `json:"topologySpreadConstraints"`
		ResourceClaims []corev1.PodResourceClaim         `json:"resourceClaims"`
		Policy         *string                           `json:"preemptionPolicy"`
		Tomorrow       *struct {
			Name string `json:"name"`
		} `json:"aFieldOfTomorrow"`
	} `json:"spec"`
}

// tellPod refuses every node and says why: what it saw.
func tellPod(p *scheduling.Pod, _ *scheduling.Snapshot) *scheduling.Status {
	s := Seen{Namespace: p.Namespace(), NodeName: p.NodeName(), Priority: p.Priority(), Selector: p.NodeSelector(), Requests: *p.Requests(), NonZero: *p.NonZeroRequests(),
		Affinity: p.Affinity(), Tolerations: p.Tolerations(), Images: p.Images(), Ports: p.Ports(),
		Group: p.Get("spec.schedulingGroup.podGroupName").String(), Unknown: p.Get("spec.nosuch").Exists()}
	s.Label, _ = p.Label("app/x")
	if err := p.Decode(&s.Typed); err != nil {
		return scheduling.Unschedulable(err.Error())
	}
	text, err := json.Marshal(s)
	if err != nil {
		return scheduling.Unschedulable(err.Error())
	}
	return scheduling.Unschedulable(string(text))
}
