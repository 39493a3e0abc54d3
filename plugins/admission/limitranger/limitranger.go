// Package limitranger carries out LimitRanges, as upstream's LimitRanger admission
// does: containers that say nothing of a resource get the defaults of their
// namespace, and pods and PersistentVolumeClaims outside of its bounds are refused.
// In a namespace without a LimitRange nobody is asked.
package limitranger

import (
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk"
	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
	"github.com/pintle-io/pintle/sdk/client"
)

const (
	pods   = "v1/pods"
	claims = "v1/persistentvolumeclaims"
	ranges = "v1/limitranges"
)

func init() {
	sdk.Register(sdk.Plugin{Name: "limit-ranger", New: func([]byte) (sdk.Points, error) {
		rule := func(resource string, ops ...admission.Operation) admission.MatchRule {
			return admission.MatchRule{Operations: ops, Resources: []string{resource}, Given: []string{ranges}}
		}
		return &admission.Points{
			// What a pod asks for changes by resize only.
			Match: []admission.MatchRule{rule(pods, admission.Create), rule(pods+"/resize", admission.Update), rule(claims, admission.Create, admission.Update)},
			Fields: []string{"metadata.deletionTimestamp", "spec.resources",
				"spec.containers.name", "spec.containers.resources", "spec.containers.restartPolicy",
				"spec.initContainers.name", "spec.initContainers.resources", "spec.initContainers.restartPolicy"},
			Implements: []string{ranges},
			Mutate:     mutate,
			Validate:   validate,
		}, nil
	}})
}

// object is what counts of a pod or a claim.
type object struct {
	Spec struct {
		Containers     []container                 `json:"containers"`
		InitContainers []container                 `json:"initContainers"`
		Resources      corev1.ResourceRequirements `json:"resources"` // of a pod as a whole, or of a claim
	} `json:"spec"`
}

type container struct {
	Name          string                      `json:"name"`
	Resources     corev1.ResourceRequirements `json:"resources"`
	RestartPolicy string                      `json:"restartPolicy"`
}

// read is the object and the LimitRanges of its namespace; none when the object is
// being deleted.
func read(r *admission.Review) (o *object, list []*corev1.LimitRange, err error) {
	if r.Old.Get("metadata.deletionTimestamp").Exists() {
		return nil, nil, nil
	}
	if err := r.Reader.List(&list, client.ListOptions{Namespace: r.Namespace}); err != nil || len(list) == 0 {
		return nil, nil, err
	}
	o = &object{}
	return o, list, r.Object.Decode(o)
}

func mutate(r *admission.Review) error {
	if r.Resource != pods {
		return nil
	}
	o, list, err := read(r)
	if err != nil || len(list) == 0 {
		return err
	}
	return complete(r, o, list)
}

func validate(r *admission.Review) error {
	o, list, err := read(r)
	if err != nil {
		return err
	}
	for _, l := range list {
		var faults []string
		for i := range l.Spec.Limits {
			faults = append(faults, check(r.Resource, o, &l.Spec.Limits[i])...)
		}
		if len(faults) > 0 {
			return r.Forbid("%s", joined(faults))
		}
	}
	return nil
}

// check holds an object against one item of a LimitRange.
func check(resource string, o *object, l *corev1.LimitRangeItem) (faults []string) {
	switch {
	case resource == claims:
		if l.Type == corev1.LimitTypePersistentVolumeClaim {
			return checkClaim(l, o.Spec.Resources.Requests)
		}
	case l.Type == corev1.LimitTypeContainer:
		for _, c := range slices.Concat(o.Spec.Containers, o.Spec.InitContainers) {
			faults = append(faults, checkUse(l, c.Resources.Requests, c.Resources.Limits)...)
		}
	case l.Type == corev1.LimitTypePod:
		return checkUse(l, total(o, requests), total(o, limits))
	}
	return faults
}

// joined is several faults in one line, each once, as upstream writes them.
func joined(faults []string) string {
	var once []string
	for _, f := range faults {
		if !slices.Contains(once, f) {
			once = append(once, f)
		}
	}
	if len(once) == 1 {
		return once[0]
	}
	return "[" + strings.Join(once, ", ") + "]"
}
