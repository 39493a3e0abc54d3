package limitranger

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk/admission"
	corev1 "github.com/pintle-io/pintle/sdk/api/core/v1"
)

// annotation says what was set.
const annotation = "metadata.annotations[kubernetes.io/limit-ranger]"

// complete gives the containers of a pod the defaults of each LimitRange.
func complete(r *admission.Review, o *object, list []*corev1.LimitRange) error {
	said := ""
	for _, l := range list {
		requests, limits := defaults(l)
		var set []string
		for _, group := range []struct {
			path, what string
			containers []container
		}{{"spec.containers", "container", o.Spec.Containers}, {"spec.initContainers", "init container", o.Spec.InitContainers}} {
			for i := range group.containers {
				c := &group.containers[i]
				path := fmt.Sprintf("%s[%d].resources", group.path, i)
				for _, kind := range []struct {
					name string
					has  *corev1.ResourceList
					want corev1.ResourceList
				}{{"request", &c.Resources.Requests, requests}, {"limit", &c.Resources.Limits, limits}} {
					names, err := fill(r, path+"."+kind.name+"s", kind.has, kind.want)
					if err != nil {
						return err
					}
					if len(names) > 0 {
						set = append(set, fmt.Sprintf("%s %s for %s %s", strings.Join(names, ", "), kind.name, group.what, c.Name))
					}
				}
			}
		}
		if len(set) > 0 {
			said = "LimitRanger plugin set: " + strings.Join(set, "; ")
		}
	}
	if said == "" {
		return nil
	}
	return r.Set(annotation, said)
}

// defaults are those of containers. The last item of the type counts.
func defaults(l *corev1.LimitRange) (requests, limits corev1.ResourceList) {
	requests, limits = corev1.ResourceList{}, corev1.ResourceList{}
	for _, item := range l.Spec.Limits {
		if item.Type == corev1.LimitTypeContainer {
			maps.Copy(requests, item.DefaultRequest)
			maps.Copy(limits, item.Default)
		}
	}
	return requests, limits
}

// fill sets what is missing below path, and names it in order.
func fill(r *admission.Review, path string, has *corev1.ResourceList, want corev1.ResourceList) (names []string, err error) {
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if _, ok := (*has)[name]; ok {
			continue
		}
		if err := r.Set(fmt.Sprintf("%s[%s]", path, name), string(want[name])); err != nil {
			return nil, err
		}
		if *has == nil {
			*has = corev1.ResourceList{}
		}
		(*has)[name] = want[name]
		names = append(names, string(name))
	}
	return names, nil
}
