// Package priority resolves the PriorityClass of a pod, as upstream's Priority
// admission does: the class must exist, its value becomes the pod's priority, and a
// pod that names none gets the cluster's default class. It refuses a second default
// class, and to delete the classes that the system itself needs.
package priority

import (
	"encoding/json"
	"strconv"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	metav1 "github.com/pintle-io/pintle/sdk/api/meta/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	pods    = "v1/pods"
	classes = "scheduling.k8s.io/v1/priorityclasses"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "priority", New: func([]byte) (sdk.Points, error) {
		ops := func(list ...admission.Operation) []admission.Operation { return list }
		return &admission.Points{
			Match: []admission.MatchRule{
				{Operations: ops(admission.Create, admission.Update), Resources: []string{pods}},
				{Operations: ops(admission.Create, admission.Update), Resources: []string{classes}, Present: []string{"globalDefault"}},
				{Operations: ops(admission.Delete), Resources: []string{classes}},
			},
			Fields:   []string{"spec.priorityClassName", "spec.priority", "spec.preemptionPolicy", "globalDefault"},
			Mutate:   mutate,
			Validate: validate,
		}, nil
	}})
}

// class is what counts of a PriorityClass.
type class struct {
	metav1.ObjectMeta `json:"metadata"`
	Value             int32  `json:"value"`
	GlobalDefault     bool   `json:"globalDefault"`
	PreemptionPolicy  string `json:"preemptionPolicy"`
}

// APIResource implements client.Object.
func (*class) APIResource() string { return classes }

// none is the class of pods in a cluster without a default one.
var none = &class{PreemptionPolicy: "PreemptLowerPriority"}

func mutate(r *admission.Review) error {
	switch {
	case r.Resource != pods:
		return nil
	case r.Operation == admission.Update:
		return keep(r)
	}
	c, err := classOf(r)
	if c == nil || err != nil {
		return err
	}
	if p := r.Object.Get("spec.priority"); p.Exists() && p.Int() != int64(c.Value) {
		return r.Forbid("the integer value of priority (%d) must not be provided in pod spec; priority admission controller computed %d from the given PriorityClass name", p.Int(), c.Value)
	}
	policy := r.Object.Get("spec.preemptionPolicy")
	if c.PreemptionPolicy != "" && policy.Exists() && policy.String() != c.PreemptionPolicy {
		return r.Forbid("the string value of PreemptionPolicy (%s) must not be provided in pod spec; priority admission controller computed %s from the given PriorityClass name", policy.String(), c.PreemptionPolicy)
	}
	return set(r, c)
}

// set writes what the class says into the pod.
func set(r *admission.Review, c *class) error {
	if c.Name != r.Object.Get("spec.priorityClassName").String() {
		if err := r.Set("spec.priorityClassName", c.Name); err != nil {
			return err
		}
	}
	if err := r.Set("spec.priority", json.RawMessage(strconv.Itoa(int(c.Value)))); err != nil || c.PreemptionPolicy == "" {
		return err
	}
	return r.Set("spec.preemptionPolicy", c.PreemptionPolicy)
}

// classOf is the class of a new pod; nil when the pod is refused.
func classOf(r *admission.Review) (*class, error) {
	name := r.Object.Get("spec.priorityClassName").String()
	if name == "" {
		c, err := defaultClass(r)
		if c == nil {
			c = none
		}
		return c, err
	}
	c := &class{}
	switch err := r.Reader.Get(c, "", name); {
	case client.IsNotFound(err):
		return nil, r.Forbid("no PriorityClass with name %s was found", name)
	case err != nil:
		return nil, err
	}
	return c, nil
}

// defaultClass is the one that stands for pods that name none; nil when there is
// none. Of several, which two servers can let in at once, it is the lowest.
func defaultClass(r *admission.Review) (*class, error) {
	var all []*class
	if err := r.Reader.List(&all, client.ListOptions{}); err != nil {
		return nil, err
	}
	var out *class
	for _, c := range all {
		if c.GlobalDefault && (out == nil || out.Value > c.Value) {
			out = c
		}
	}
	return out, nil
}

// keep completes a pod that is written by a client that knows nothing of priorities:
// they stay. Who changes them is refused by the kind's validation.
func keep(r *admission.Review) error {
	if old := r.Old.Get("spec.priority"); old.Exists() && !r.Object.Get("spec.priority").Exists() {
		if err := r.Set("spec.priority", old.Int()); err != nil {
			return err
		}
	}
	if old := r.Old.Get("spec.preemptionPolicy"); old.Exists() && !r.Object.Get("spec.preemptionPolicy").Exists() {
		return r.Set("spec.preemptionPolicy", old.String())
	}
	return nil
}

func validate(r *admission.Review) error {
	switch {
	case r.Resource != classes:
		return nil
	case r.Operation == admission.Delete:
		if r.Name == "system-node-critical" || r.Name == "system-cluster-critical" {
			return r.Forbid("this is a system priority class and cannot be deleted")
		}
		return nil
	case !r.Object.Get("globalDefault").Bool():
		return nil
	}
	other, err := defaultClass(r)
	if err != nil || other == nil || r.Operation == admission.Update && other.Name == r.Name {
		return err
	}
	return r.Forbid("PriorityClass %s is already marked as default. Only one default can exist", other.Name)
}
