package generate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// names creates objects by names that may not be.
func names(m *maker) {
	for _, name := range []any{"", "UPPER", "a b", "a/b", "a%b", "-a", "a-", "a.b", "a..b", strings.Repeat("n", 254), strings.Repeat("n", 64), "ü", ".", "..", "a:b", "1a", 7, nil} {
		o := m.object(m.name)
		meta(o)["name"] = name
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
	}
	o := m.object(m.name)
	delete(meta(o), "name")
	m.create(copied(o))
	meta(o)["generateName"] = m.name + "-"
	m.create(copied(o)).Save = map[string]string{"generated": "metadata.name"}
	if m.r.Has("delete") {
		m.sent("delete", "DELETE", m.path("${generated}")+"?gracePeriodSeconds=0", nil)
	}
	meta(o)["generateName"] = pick(m.Rand, []string{"A B", strings.Repeat("n", 300), "-", "a."})
	m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
	elsewhere(m)
}

// elsewhere creates an object elsewhere than it says, or as something else.
func elsewhere(m *maker) {
	for _, namespace := range []any{"elsewhere", "", "A B", 7} {
		o := m.object(m.name)
		meta(o)["namespace"] = namespace
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
	}
	if m.r.Namespaced {
		m.sent("create", "POST", m.r.Path("nowhere-such"), m.object(m.name))
		o := m.object(m.name)
		meta(o)["namespace"] = "nowhere-such"
		m.sent("create", "POST", m.r.Path("nowhere-such"), o)
		m.sent("create", "POST", m.r.Path(""), o)
	}
	for _, field := range []string{"kind", "apiVersion"} {
		for _, v := range []any{"", "Other", "example.com/v9", "v1", "a/b/c", 7, nil} {
			o := m.object(m.name)
			o[field] = v
			m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
		}
	}
	for _, field := range slices.Sorted(maps.Keys(systemValues)) {
		o := m.object(m.name)
		meta(o)[field] = pick(m.Rand, systemValues[field])
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
	}
	for _, labels := range []any{
		map[string]any{"a b": "x"}, map[string]any{"a": "x y"}, map[string]any{"a": strings.Repeat("v", 64)}, map[string]any{"": ""},
		map[string]any{"a/b/c": "x"}, map[string]any{"a": 7}, map[string]any{"a": nil}, []any{}, "x", nil,
	} {
		for _, field := range []string{"labels", "annotations"} {
			o := m.object(m.name)
			meta(o)[field] = labels
			m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), o)
		}
	}
}

// fieldValidation creates objects with fields that are not known, or twice.
func fieldValidation(m *maker) {
	o := m.object(m.name)
	unknown := copied(o)
	unknown["unknown"] = map[string]any{"a": 1}
	meta(unknown)["alsoUnknown"] = "x"
	if spec, ok := unknown["spec"].(map[string]any); ok {
		spec["specUnknown"] = []any{1, 2}
	}
	plain, _ := json.Marshal(o)
	twice := strings.Replace(string(plain), `"metadata":{`, `"metadata":{"name":"twice","labels":{"a":"b","a":"c"},`, 1)
	twice = strings.Replace(twice, `"spec":{`, `"spec":{"twice":1,"twice":2,`, 1)
	both := strings.Replace(twice, `{`, `{"unknown":1,`, 1)
	cased := strings.Replace(string(plain), `"metadata":`, `"Metadata":`, 1)
	for _, v := range []string{"Ignore", "Warn", "Strict", "", "strict"} {
		for _, body := range []any{unknown, twice, both, cased} {
			r := m.sent("create", "POST", withQuery(m.collection(), "dryRun=All", "fieldValidation="+v), body)
			r.Header.Set("Content-Type", "application/json")
		}
	}
	lines := "unknown: 1\nunknown: 2\n" + yamlOf(o) + "alsoUnknown: {a: 1, a: 2}\n"
	for _, v := range []string{"Ignore", "Warn", "Strict"} {
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All", "fieldValidation="+v), lines).Header.Set("Content-Type", "application/yaml")
	}
	if !patchable(m.r) {
		return
	}
	m.create(o)
	for _, v := range []string{"Ignore", "Warn", "Strict"} {
		q := withQuery(m.path(m.name), "fieldValidation="+v)
		m.sent("update", "PUT", q, copied(unknown))
		m.patch("merge", q, `{"unknown":1,"metadata":{"u":1},"spec":{"specUnknown":2,"specUnknown":3}}`)
		m.patch("json", q, `[{"op":"add","path":"/unknown","value":1},{"op":"add","path":"/metadata/u","value":1}]`)
		m.patch("strategic", q, `{"unknown":1,"metadata":{"u":1}}`)
		m.patch("apply", withQuery(q, "fieldManager=f", "force=true"), fmt.Sprintf(`{"apiVersion":%q,"kind":%q,"unknown":1,"metadata":{"name":%q}}`, m.r.APIVersion(), m.r.Kind, m.name))
	}
	m.get()
}

// bodies sends what is no object.
func bodies(m *maker) {
	o := m.object(m.name)
	plain, _ := json.Marshal(o)
	for _, body := range []string{
		"", " ", "null", "[]", "{}", "7", `"x"`, "{", string(plain[:len(plain)/2]), string(plain) + "x", string(plain) + string(plain), "\x00", "k8s\x00x",
		`{"metadata":null}`, `{"metadata":[]}`, `{"kind":"Status","apiVersion":"v1"}`, `{"kind":"List","apiVersion":"v1","items":[]}`, "\xff\xfe{}", "<xml/>",
		`{"metadata":{"name":"` + strings.Repeat("x", 1<<12) + `"}}`, strings.Repeat("[", 20000),
	} {
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), body).Header.Set("Content-Type", "application/json")
	}
	for _, media := range []string{"", "text/plain", "application/xml", "application/yaml", "application/json; charset=utf-8", "application/json;as=Table", "application/vnd.kubernetes.protobuf", "application/cbor", "application/x-www-form-urlencoded", "application/merge-patch+json", "*/*", "a", "application/json, application/yaml"} {
		r := m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), plain)
		r.Header.Set("Content-Type", media)
	}
	m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), yamlOf(o)).Header.Set("Content-Type", "application/yaml")
	m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), "a: [").Header.Set("Content-Type", "application/yaml")
	m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), yamlOf(o)+"---\n"+yamlOf(o)).Header.Set("Content-Type", "application/yaml")
	big := copied(o)
	meta(big)["annotations"] = map[string]any{"a": strings.Repeat("x", 300<<10)}
	m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), big)
	if m.chance(8) {
		meta(big)["annotations"] = map[string]any{"a": strings.Repeat("x", 4<<20)}
		m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), big)
	}
	for _, q := range []string{"dryRun=x", "dryRun=All&dryRun=x", "fieldManager=" + strings.Repeat("m", 130), "fieldManager=%00", "fieldManager=a%0Ab", "fieldValidation=x", "pretty=true", "unknownParameter=1", "dryRun=All&pretty=x", "timeout=1x", "timeout=10s&dryRun=All"} {
		m.sent("create", "POST", withQuery(m.collection(), q), o)
	}
	if m.r.Has("delete") {
		m.sent("delete", "DELETE", m.path(m.name)+"?gracePeriodSeconds=0", nil)
	}
}
