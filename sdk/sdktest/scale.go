package sdktest

import (
	"slices"
	"strings"

	"github.com/pintle-io/pintle/sdk/wire"
)

const scale = "scale"

// scale finds the object whose scale is asked for.
func (s *Store) scale(resource, subresource, namespace, name string) (map[string]any, error) {
	if strings.Contains(resource, wire.KindMark) {
		resource = s.resourceOf(resource)
	}
	if err := s.may(resource + "/" + subresource); err != nil {
		return nil, err
	}
	o := s.objects[key(resource, namespace, name)]
	if o == nil {
		o = s.objects[key(resource, "", name)]
	}
	if o == nil {
		return nil, wire.Errorf(wire.KindNotFound, "%s %q not found", resource, name)
	}
	spec, _ := o["spec"].(map[string]any)
	if _, ok := spec["replicas"].(float64); subresource != scale || !ok {
		return nil, wire.Errorf(wire.KindUnsupported, "%s have no subresource %q to get", resource, subresource)
	}
	return o, nil
}

// resourceOf finds the resource of a kind by its usual plural, in the version of an
// object that is held.
func (s *Store) resourceOf(named string) string {
	apiVersion, kind, _ := strings.Cut(named, wire.KindMark)
	group, _, _ := strings.Cut(apiVersion, "/")
	plural := strings.ToLower(kind)
	switch {
	case strings.HasSuffix(plural, "s"):
		plural += "es"
	case strings.HasSuffix(plural, "y"):
		plural = strings.TrimSuffix(plural, "y") + "ies"
	default:
		plural += "s"
	}
	for _, k := range s.Keys() {
		at := strings.Split(k, "/")
		core := len(at) == 4 && !strings.Contains(apiVersion, "/")
		if core && at[1] == plural || len(at) == 5 && at[0] == group && at[2] == plural {
			return strings.Join(at[:len(at)-2], "/")
		}
	}
	return apiVersion + "/" + plural
}

// scaleOf is the scale of an object: its selector is that of the status where there is
// one, as custom kinds have it, or else made of the spec's.
func scaleOf(o map[string]any) map[string]any {
	spec, _ := o["spec"].(map[string]any)
	status, _ := o["status"].(map[string]any)
	out := map[string]any{"replicas": float64(0)}
	if n, ok := status["replicas"].(float64); ok {
		out["replicas"] = n
	}
	selector := text(status, "selector")
	if sel, ok := spec["selector"].(map[string]any); ok && selector == "" {
		if labels, ok := sel["matchLabels"].(map[string]any); ok {
			sel = labels
		}
		var terms []string
		for k := range sel {
			if v, ok := sel[k].(string); ok {
				terms = append(terms, k+"="+v)
			}
		}
		slices.Sort(terms)
		selector = strings.Join(terms, ",")
	}
	if selector != "" {
		out["selector"] = selector
	}
	m := map[string]any{}
	for _, f := range []string{"namespace", "name", "uid", "resourceVersion", "creationTimestamp"} {
		if v := metadata(o)[f]; v != nil {
			m[f] = v
		}
	}
	return map[string]any{"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": m, "spec": map[string]any{"replicas": spec["replicas"]}, "status": out}
}

// writeScale sets the replicas of the object that a Scale names.
func (s *Store) writeScale(q wire.WriteRequest, in map[string]any) ([]byte, error) {
	m := metadata(in)
	if strings.Contains(q.Resource, wire.KindMark) {
		q.Resource = s.resourceOf(q.Resource)
	}
	old, err := s.scale(q.Resource, q.Subresource, text(m, "namespace"), text(m, "name"))
	if err != nil {
		return nil, err
	}
	if isOther(m, metadata(old)) {
		return nil, wire.Errorf(wire.KindConflict, "%s %q has changed", q.Resource, text(m, "name"))
	}
	spec, _ := in["spec"].(map[string]any)
	replicas, _ := spec["replicas"].(float64)
	if replicas < 0 {
		return nil, wire.Errorf(wire.KindInvalid, "spec.replicas: Invalid value: %v: must be greater than or equal to 0", replicas)
	}
	next := merge(map[string]any{}, old)
	next = merge(next, map[string]any{"spec": map[string]any{"replicas": replicas}})
	metadata(next)["resourceVersion"] = nil
	if _, err := s.replace(q.Resource, old, next, ""); err != nil {
		return nil, err
	}
	return encode(scaleOf(next), q.Only)
}
