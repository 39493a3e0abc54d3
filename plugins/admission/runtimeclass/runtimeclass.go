// Package runtimeclass makes a pod's RuntimeClass count, as upstream's
// RuntimeClass admission does: it must exist, and what it says of overhead and
// of the nodes that have the runtime is copied into the pod. Pods without a
// class and without overhead never come here.
package runtimeclass

import (
	"maps"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/api/resource"
	"github.com/pintle-io/pintle/sdk/client"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "runtime-class", New: func([]byte) (sdk.Points, error) {
		rule := func(path string) admission.MatchRule {
			return admission.MatchRule{Operations: []admission.Operation{admission.Create}, Resources: []string{"v1/pods"}, Present: []string{path}}
		}
		return &admission.Points{
			Match:    []admission.MatchRule{rule("spec.runtimeClassName"), rule("spec.overhead")},
			Fields:   []string{"spec.runtimeClassName", "spec.overhead", "spec.nodeSelector", "spec.tolerations"},
			Mutate:   mutate,
			Validate: validate,
		}, nil
	}})
}

// class is what counts of a RuntimeClass.
type class struct {
	Overhead *struct {
		PodFixed amounts `json:"podFixed"`
	} `json:"overhead"`
	Scheduling *struct {
		NodeSelector map[string]string   `json:"nodeSelector"`
		Tolerations  []corev1.Toleration `json:"tolerations"`
	} `json:"scheduling"`
}

// amounts by resource.
type amounts map[string]resource.Quantity

// APIResource implements client.Object.
func (*class) APIResource() string { return "node.k8s.io/v1/runtimeclasses" }

const mismatch = "pod rejected: Pod's Overhead doesn't match RuntimeClass's defined Overhead"

// lookup reads the pod's class; nil when it names none. ok is false when the
// pod is refused.
func lookup(r *admission.Review) (c *class, ok bool, err error) {
	name := r.Object.Get("spec.runtimeClassName")
	if !name.Exists() {
		return nil, true, nil
	}
	c = &class{}
	switch err := r.Reader.Get(c, "", name.String()); {
	case client.IsNotFound(err):
		return nil, false, r.Forbid("pod rejected: RuntimeClass %q not found", name.String())
	case err != nil:
		return nil, false, err
	}
	return c, true, nil
}

func mutate(r *admission.Review) error {
	c, ok, err := lookup(r)
	if err != nil || !ok || c == nil {
		return err
	}
	if c.Overhead != nil {
		if own := overheadOf(r.Object); len(own) > 0 && !equal(own, c.Overhead.PodFixed) {
			return r.Forbid(mismatch)
		}
		if err := r.Set("spec.overhead", c.Overhead.PodFixed); err != nil {
			return err
		}
	}
	if c.Scheduling == nil {
		return nil
	}
	return schedule(r, c)
}

// schedule copies what leads the pod to nodes that have the runtime.
func schedule(r *admission.Review, c *class) error {
	selector := map[string]string{}
	for key, v := range r.Object.Get("spec.nodeSelector").Fields() {
		selector[key] = v.String()
	}
	for key, value := range c.Scheduling.NodeSelector {
		if own, ok := selector[key]; ok && own != value {
			return r.Forbid("conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; pod.spec.nodeSelector[%s] = %s", key, value, key, own)
		}
		selector[key] = value
	}
	if len(c.Scheduling.NodeSelector) > 0 {
		if err := r.Set("spec.nodeSelector", selector); err != nil {
			return err
		}
	}
	var own []corev1.Toleration
	if t := r.Object.Get("spec.tolerations"); t.Len() > 0 {
		if err := t.Decode(&own); err != nil {
			return err
		}
	}
	merged := merge(own, c.Scheduling.Tolerations)
	if len(merged) == 0 {
		return nil
	}
	return r.Set("spec.tolerations", merged)
}

// validate sees the pod after all other policies.
func validate(r *admission.Review) error {
	c, ok, err := lookup(r)
	if err != nil || !ok {
		return err
	}
	own := overheadOf(r.Object)
	switch {
	case c != nil && c.Overhead != nil && !equal(own, c.Overhead.PodFixed):
		return r.Forbid(mismatch)
	case (c == nil || c.Overhead == nil) && own != nil:
		return r.Forbid("pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead")
	}
	return nil
}

func overheadOf(pod sdk.Value) amounts {
	v := pod.Get("spec.overhead")
	if !v.Exists() {
		return nil
	}
	out := amounts{}
	for name, q := range v.Fields() {
		out[name] = resource.Quantity(q.String())
	}
	return out
}

func equal(a, b amounts) bool {
	return maps.EqualFunc(a, b, func(x, y resource.Quantity) bool { return x.Cmp(y) == 0 })
}
