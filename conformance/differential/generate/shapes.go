package generate

import (
	"fmt"
	"slices"

	"github.com/pintle-io/pintle/conformance/differential/api"
)

// shape is a sort of sequence.
type shape struct {
	name string
	fits func(*api.Resource) bool
	make func(*maker)
}

// shapes are all, in the order in which a resource meets them. The last fits
// whatever fits no other.
var shapes = []shape{
	{"lifecycle", ordinary, lifecycle},
	{"broken", creatable, broken},
	{"filled", creatable, filled},
	{"apply", patchable, apply},
	{"subresource", subresource, subresources},
	{"updates", updatable, updates},
	{"patches", patchable, patches},
	{"names", creatable, names},
	{"media", readable, media},
	{"validation", creatable, fieldValidation},
	{"lists", readable, lists},
	{"conflicts", updatable, conflicts},
	{"deletion", deletable, deletion},
	{"collection", func(r *api.Resource) bool { return ordinary(r) && r.Has("deletecollection") }, collections},
	{"watch", func(r *api.Resource) bool { return ordinary(r) && r.Has("watch") }, watches},
	{"appliers", patchable, appliers},
	{"bodies", creatable, bodies},
	{"rights", always, rights},
	{"methods", always, methods},
}

func always(*api.Resource) bool        { return true }
func subresource(r *api.Resource) bool { _, sub := r.Parent(); return sub != "" }
func creatable(r *api.Resource) bool   { return r.Has("create") && !subresource(r) }
func ordinary(r *api.Resource) bool {
	return creatable(r) && r.Has("get") && r.Has("list") && r.Has("delete")
}
func patchable(r *api.Resource) bool { return ordinary(r) && r.Has("patch") }
func updatable(r *api.Resource) bool { return ordinary(r) && r.Has("update") }
func deletable(r *api.Resource) bool { return ordinary(r) }
func readable(r *api.Resource) bool  { return ordinary(r) && r.Has("list") }

// acts are kinds whose objects change how the server treats others: filled with
// what chance brings they are only tried out.
var acts = []string{
	"ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
	"MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding", "CustomResourceDefinition", "APIService", "PriorityClass", "StorageClass",
	"IngressClass", "LimitRange", "ResourceQuota", "FlowSchema", "PriorityLevelConfiguration", "RuntimeClass", "ClusterRole", "ClusterRoleBinding",
	"RoleBinding", "ServiceCIDR",
}

// careful makes a path that only tries, if the kind acts on others.
func (m *maker) careful(path string) string {
	if slices.Contains(acts, m.r.Kind) {
		return withQuery(path, "dryRun=All")
	}
	return path
}

func lifecycle(m *maker) {
	o := m.created()
	m.get()
	m.table(m.path(m.name))
	m.sent("list", "GET", withQuery(m.collection(), "fieldSelector=metadata.name="+m.name), nil)
	if m.r.Has("update") {
		changed := copied(o)
		meta(changed)["annotations"] = map[string]any{"example.com/a": "b"}
		meta(changed)["resourceVersion"] = "${rv}"
		m.sent("update", "PUT", m.path(m.name), changed).Save = saveObject
		meta(changed)["resourceVersion"] = "${rv}"
		m.sent("update", "PUT", m.path(m.name), changed) // changes nothing
	}
	m.create(o) // exists
	m.sent("delete", "DELETE", m.path(m.name), nil)
	m.get()
	m.sent("delete", "DELETE", m.path(m.name), nil)
}

func meta(o map[string]any) map[string]any {
	m, ok := o["metadata"].(map[string]any)
	if !ok {
		m = map[string]any{}
		o["metadata"] = m
	}
	return m
}

func (m *maker) table(path string) {
	m.sent("table", "GET", path, nil).Header.Set("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
}

// broken creates objects with one or two faults.
func broken(m *maker) {
	for range 6 {
		o := m.object(m.name)
		m.mutate(o)
		m.sent("create", "POST", m.careful(m.collection()), o)
		m.sent("delete", "DELETE", m.path(m.name)+"?gracePeriodSeconds=0", nil)
	}
}

// filled creates objects with many fields.
func filled(m *maker) {
	for i := range 4 {
		o := m.object(m.name)
		filler{m.Rand, 0.08 + 0.12*float64(i)}.fill(o, m.r.Schema)
		m.sent("create", "POST", m.careful(m.collection()), o)
		if m.r.Has("get") {
			m.get()
			m.table(m.path(m.name))
			m.sent("delete", "DELETE", m.path(m.name)+"?gracePeriodSeconds=0", nil)
		}
	}
}

// updates writes what may not be changed.
func updates(m *maker) {
	o := m.created()
	for range 5 {
		changed := copied(o)
		m.mutate(changed)
		m.sent("update", "PUT", m.careful(m.path(m.name)), changed)
	}
	m.get()
	for _, field := range []string{"uid", "creationTimestamp", "generation", "deletionTimestamp", "finalizers", "ownerReferences", "selfLink", "generateName"} {
		changed := copied(o)
		meta(changed)[field] = pick(m.Rand, systemValues[field])
		m.sent("update", "PUT", m.path(m.name), changed)
	}
	m.get()
}

var systemValues = map[string][]any{
	"uid":               {"x", "00000000-0000-0000-0000-000000000000", ""},
	"creationTimestamp": {"2020-01-02T03:04:05Z", nil, "x"},
	"generation":        {7, -1, "x"},
	"deletionTimestamp": {"2020-01-02T03:04:05Z", nil},
	"finalizers":        {[]any{"example.com/f"}, []any{"f"}, []any{"a b"}, []any{"foregroundDeletion", "orphan"}, []any{"example.com/f", "example.com/f"}},
	"ownerReferences": {
		[]any{map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u"}},
		[]any{map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "x"}},
		[]any{map[string]any{"apiVersion": "v1", "kind": "Event", "name": "x", "uid": "u"}},
		[]any{map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "u", "controller": true}, map[string]any{"apiVersion": "v1", "kind": "Pod", "name": "y", "uid": "w", "controller": true}},
	},
	"selfLink":     {"/x"},
	"generateName": {"x-"},
}

// conflicts names states that an object is not in.
func conflicts(m *maker) {
	o := m.created()
	for _, rv := range []any{"1", "0", "", "x", "-1", "${rv}0", "99999999999999999999", 7} {
		changed := copied(o)
		meta(changed)["resourceVersion"] = rv
		meta(changed)["annotations"] = map[string]any{"example.com/rv": fmt.Sprint(rv)}
		m.sent("update", "PUT", m.path(m.name), changed)
	}
	changed := copied(o)
	meta(changed)["name"] = m.nameOf(1)
	m.sent("update", "PUT", m.path(m.name), changed)
	changed = copied(o)
	meta(changed)["namespace"] = "elsewhere"
	m.sent("update", "PUT", m.path(m.name), changed)
	delete(meta(changed), "namespace")
	delete(meta(changed), "name")
	m.sent("update", "PUT", m.path(m.name), changed)
	other := m.object(m.nameOf(1))
	m.sent("update", "PUT", m.path(m.nameOf(1)), other) // is not there
	meta(other)["uid"] = "00000000-0000-0000-0000-000000000000"
	m.sent("update", "PUT", m.path(m.nameOf(1)), other)
	meta(other)["resourceVersion"] = "${rv}"
	m.sent("update", "PUT", m.path(m.nameOf(1)), other)
	m.create(other)
	m.sent("update", "PUT", withQuery(m.path(m.name), pick(m.Rand, []string{"dryRun=All", "dryRun=x", "dryRun=All&dryRun=All", "dryRun="})), o)
	m.get()
}
