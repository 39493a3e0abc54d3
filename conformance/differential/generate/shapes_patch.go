package generate

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/pintle-io/pintle/conformance/differential/exchange"
	"sigs.k8s.io/yaml"
)

// patchTypes are the media types of patches.
var patchTypes = map[string]string{
	"json": "application/json-patch+json", "merge": "application/merge-patch+json",
	"strategic": "application/strategic-merge-patch+json", "apply": "application/apply-patch+yaml",
}

func yamlOf(o any) string {
	b, _ := yaml.Marshal(o) // of maps, slices and strings
	return string(b)
}

func jsonOf(o any) string {
	b, _ := json.Marshal(o)
	return string(b)
}

func (m *maker) patch(kind, path, body string) *exchange.Request {
	r := m.sent("patch "+kind, "PATCH", path, body)
	r.Header.Set("Content-Type", patchTypes[kind])
	return r
}

// patches are good and bad ones of all types.
func patches(m *maker) {
	o := m.created()
	p := m.path(m.name)
	m.patch("json", p, `[{"op":"test","path":"/metadata/name","value":"`+m.name+`"},{"op":"add","path":"/metadata/annotations","value":{"a":"b"}}]`)
	m.patch("merge", p, `{"metadata":{"annotations":{"c":"d","a":null}}}`)
	m.patch("strategic", p, `{"metadata":{"annotations":{"e":"f"},"$deleteFromPrimitiveList/finalizers":["x"]}}`)
	m.patch("merge", p, `{}`)
	m.get()
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `[{}]`, `[{"op":"x","path":"/a"}]`, `[{"op":"test","path":"/metadata/name","value":"other"}]`, `[{"op":"remove","path":"/nothing"}]`,
		`[{"op":"replace","path":"/metadata/nothing/x","value":1}]`, `[{"op":"add","path":"metadata","value":1}]`, `[{"op":"add","path":"/metadata/labels/-","value":1}]`,
		`[{"op":"copy","from":"/metadata/name","path":"/metadata/annotations/copied"}]`, `[{"op":"move","from":"/nothing","path":"/metadata/annotations/moved"}]`,
		`[{"op":"replace","path":"/metadata/uid","value":"x"}]`, `[{"op":"replace","path":"/kind","value":"X"}]`, `[{"op":"remove","path":"/spec"}]`, `[{"op":"replace","path":"","value":{}}]`, `{"op":"add"}`, `[1]`, `[{`,
	} {
		m.patch("json", m.careful(p), body)
	}
	for _, body := range []string{
		``, `[]`, `null`, `7`, `{"metadata":null}`, `{"metadata":7}`, `{"kind":"X"}`, `{"apiVersion":"x/v1"}`, `{"metadata":{"name":"other"}}`, `{"metadata":{"namespace":"other"}}`, `{"metadata":{"resourceVersion":"1"}}`,
		`{"metadata":{"resourceVersion":"x"}}`, `{"metadata":{"uid":"x"}}`, `{"spec":null}`, `{"spec":"x"}`, `{"spec":{}}`, `{"metadata":{"labels":{"a b":"c"}}}`, `{"metadata":{"labels":{"a":1}}}`, `{"status":{"x":"y"}}`, `{`,
		`{"metadata":{"finalizers":["a/b","a/b"]}}`, `{"metadata":{"creationTimestamp":null}}`, `{"metadata":{"generation":9}}`, `{"metadata":{"managedFields":[]}}`, `{"metadata":{"managedFields":[{}]}}`, `{"metadata":{"managedFields":[{"manager":"x"}]}}`,
		`{"$patch":"replace","metadata":{"name":"` + m.name + `"}}`, `{"$patch":"x"}`, `{"$retainKeys":["metadata"]}`, `{"metadata":{"$patch":"delete"}}`, `{"spec":{"$setElementOrder/x":[1]}}`, `{"metadata":{"ownerReferences":[{"uid":"u"}]}}`,
	} {
		m.patch("merge", m.careful(p), body)
		m.patch("strategic", m.careful(p), body)
	}
	mutations(m, o)
	m.get()
	m.patch("merge", m.path(m.nameOf(1)), `{"metadata":{"labels":{"a":"b"}}}`)
	for _, media := range []string{"application/json", "application/yaml", "", "text/plain", "application/merge-patch+json; charset=utf-8", "application/merge-patch+json,application/json-patch+json", "application/apply-patch+cbor"} {
		m.sent("patch", "PATCH", p, `{}`).Header.Set("Content-Type", media)
	}
	for _, q := range []string{"force=true", "force=x", "dryRun=x", "fieldManager=" + strings.Repeat("m", 130), "fieldValidation=x"} {
		m.patch("merge", withQuery(p, q), `{}`)
	}
}

// mutations are merge patches that make changes which chance brings.
func mutations(m *maker, o map[string]any) {
	for range 4 {
		changed := copied(o)
		m.mutate(changed)
		m.patch("merge", m.careful(m.path(m.name)), jsonOf(changed))
		m.patch("strategic", m.careful(m.path(m.name)), jsonOf(changed))
	}
}

// apply is server-side apply by several managers.
func apply(m *maker) {
	o := m.object(m.name)
	as := func(manager string, more ...string) string {
		return withQuery(m.path(m.name), append([]string{"fieldManager=" + manager}, more...)...)
	}
	annotated := func(k, v string) map[string]any {
		return map[string]any{"apiVersion": m.r.APIVersion(), "kind": m.r.Kind, "metadata": map[string]any{"name": m.name, "annotations": map[string]any{k: v}}}
	}
	m.patch("apply", as("alice", "dryRun=All"), jsonOf(o))
	m.patch("apply", as("alice"), jsonOf(o))
	m.patch("apply", as("alice"), yamlOf(o))
	m.patch("apply", as("bob"), jsonOf(annotated("example.com/a", "bob")))
	m.patch("apply", as("carol"), jsonOf(annotated("example.com/a", "carol")))
	m.patch("apply", as("carol", "force=true"), jsonOf(annotated("example.com/a", "carol")))
	m.patch("apply", as("bob"), jsonOf(annotated("example.com/b", "bob")))
	m.get()
	m.patch("merge", as("dave"), `{"metadata":{"annotations":{"example.com/b":"dave"},"labels":{"by":"dave"}}}`)
	m.get()
	changed := copied(o)
	m.mutate(changed)
	m.patch("apply", m.careful(as("alice")), jsonOf(changed))
	m.patch("apply", m.careful(as("eve")), jsonOf(changed))
	m.patch("apply", m.careful(as("eve", "force=true")), jsonOf(changed))
	m.get()
	m.patch("apply", as("carol"), jsonOf(map[string]any{"apiVersion": m.r.APIVersion(), "kind": m.r.Kind, "metadata": map[string]any{"name": m.name}}))
	if m.r.Has("update") {
		put := copied(o)
		meta(put)["labels"].(map[string]any)["by"] = "frank"
		m.sent("update", "PUT", withQuery(m.path(m.name), "fieldManager=frank"), put)
		meta(put)["managedFields"] = []any{}
		m.sent("update", "PUT", withQuery(m.path(m.name), "fieldManager=frank"), put)
		meta(put)["managedFields"] = []any{map[string]any{}}
		m.sent("update", "PUT", withQuery(m.path(m.name), "fieldManager=frank"), put)
		m.patch("apply", as("grace"), jsonOf(annotated("example.com/c", "grace")))
	}
	m.get()
}

// appliers are apply requests that cannot be.
func appliers(m *maker) {
	o := m.created()
	p := m.path(m.name)
	m.patch("apply", p, jsonOf(o))
	m.patch("apply", withQuery(p, "fieldManager="), jsonOf(o))
	p = withQuery(p, "fieldManager=tester")
	for _, body := range []string{
		``, `{}`, `[]`, `null`, `x`, `{`, "a: [", `{"apiVersion":"x/v1","kind":"X"}`,
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q}`, m.r.APIVersion(), m.r.Kind),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{}}`, m.r.APIVersion(), m.r.Kind),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":"other"}}`, m.r.APIVersion(), m.r.Kind),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"managedFields":[{}]}}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"resourceVersion":"1"}}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"uid":"x"}}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"labels":"x"}}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q},"spec":7}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q},"status":{"x":1}}`, m.r.APIVersion(), m.r.Kind, m.name),
		fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"metadata":{"name":%q,"finalizers":["a/b","a/b"]}}`, m.r.APIVersion(), m.r.Kind, m.name),
		yamlOf(o) + "---\n" + yamlOf(o), "metadata: {name: a}\nmetadata: {name: b}\n" + yamlOf(o),
	} {
		m.patch("apply", p, body)
	}
	for range 4 {
		changed := m.object(m.name)
		m.mutate(changed)
		m.patch("apply", m.careful(withQuery(p, "force=true")), jsonOf(changed))
	}
	for _, q := range []string{"force=x", "dryRun=x", "fieldValidation=Strict", "fieldValidation=x"} {
		m.patch("apply", withQuery(p, q), jsonOf(o))
	}
	meta(o)["name"] = m.nameOf(1)
	m.patch("apply", withQuery(m.path(m.nameOf(1)), "fieldManager=tester"), jsonOf(o))
	m.get()
}
