package generate

import (
	"fmt"
	"strings"
)

func (m *maker) selector() string { return fmt.Sprintf("labelSelector=%s%%3Ds%d", label, m.number) }

// three creates three objects.
func (m *maker) three() {
	for i := range 3 {
		o := m.object(m.nameOf(i))
		meta(o)["labels"].(map[string]any)["n"] = fmt.Sprint(i)
		m.create(o).Save = saveObject
	}
}

// lists are lists with all that one can be asked for.
func lists(m *maker) {
	m.three()
	path := withQuery(m.collection(), m.selector())
	list := func(q ...string) { m.sent("list", "GET", withQuery(path, q...), nil) }
	list()
	m.table(path)
	m.sent("list", "GET", withQuery(path, "limit=2"), nil).Save = map[string]string{"next": "metadata.continue"}
	list("limit=2", "continue=${next}")
	list("limit=1", "continue=${next}x")
	list("limit=1", "continue=${next}", "resourceVersion=1")
	list("limit=1", "continue=${next}", "resourceVersionMatch=Exact", "resourceVersion=${rv}")
	for _, q := range []string{
		"limit=0", "limit=-1", "limit=x", "limit=3", "limit=1000000000000000000000", "continue=x", "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0",
		"resourceVersion=0", "resourceVersion=${rv}", "resourceVersion=x", "resourceVersion=-1", "resourceVersion=99999999999999999999",
		"resourceVersion=${rv}&resourceVersionMatch=Exact", "resourceVersion=${rv}&resourceVersionMatch=NotOlderThan", "resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=NotOlderThan", "resourceVersion=1&resourceVersionMatch=x",
		"resourceVersion=${rv}&limit=1", "resourceVersion=0&limit=1", "sendInitialEvents=true", "sendInitialEvents=x", "watch=x", "watch=0", "watch=false", "allowWatchBookmarks=x", "timeoutSeconds=x", "timeoutSeconds=-1", "timeoutSeconds=1",
		"fieldSelector=metadata.name%3D" + m.name, "fieldSelector=metadata.name!%3D" + m.name, "fieldSelector=nothing%3Dx", "fieldSelector=metadata.labels%3Dx", "fieldSelector=x", "fieldSelector=metadata.name", "fieldSelector=%3D%3D", "fieldSelector=metadata.namespace%3D" + m.namespace, "fieldSelector=spec.mode%3Dfast", "fieldSelector=status.phase%3DPending", "fieldSelector=type%3DOpaque",
		"pretty=1", "labelSelector=a", "shards=1", "shardSelector=x",
	} {
		list(q)
	}
	for _, s := range []string{"n", "!n", "n in (0,1)", "n notin (0)", "n=0,n=1", "n in ()", "n in (", "n=", "=0", "n==0", "n!=0", "a b", "n>0", "n<x", "A/B/c=1", "-=x", strings.Repeat("l", 64), "n=" + strings.Repeat("v", 64)} {
		m.sent("list", "GET", withQuery(m.collection(), "labelSelector="+escaped(s+","+label+"=s"+fmt.Sprint(m.number))), nil)
	}
	if m.r.Namespaced {
		m.sent("list", "GET", withQuery(m.r.Path(""), m.selector()), nil)
		m.sent("list", "GET", m.r.Path("nowhere-such"), nil)
	}
	for _, q := range []string{"resourceVersion=0", "resourceVersion=x", "resourceVersion=${rv}", "resourceVersion=99999999999999999999", "pretty=true", "limit=x"} {
		m.sent("get", "GET", withQuery(m.path(m.name), q), nil)
	}
}

var escapes = strings.NewReplacer(" ", "%20", "=", "%3D", ",", "%2C", "!", "%21", "<", "%3C", ">", "%3E", "(", "%28", ")", "%29", "/", "%2F")

func escaped(s string) string { return escapes.Replace(s) }

// accepts are media types that a client may ask for.
var accepts = []string{
	"", "*/*", "application/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf", "application/cbor", "text/html", "text/plain", "application/xml", "x", "application/json;q=0.1,application/yaml",
	"application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1beta1;g=meta.k8s.io", "application/yaml;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf;as=Table;v=v1;g=meta.k8s.io",
	"application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadata;v=v1beta1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
	"application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v9;g=meta.k8s.io", "application/json;as=X;v=v1;g=meta.k8s.io", "application/json;as=Table;v=v1;g=meta.k8s.io, application/json", "application/json;as=X;v=v1;g=meta.k8s.io, application/json",
	"application/json;stream=watch", "application/json;profile=x", "application/json;as=Table;g=meta.k8s.io", "application/cbor;as=Table;v=v1;g=meta.k8s.io", "application/json; as=Table; v=v1; g=meta.k8s.io; ", "text/html, application/xhtml+xml, application/xml;q=0.9, */*;q=0.8",
}

// media asks in all forms.
func media(m *maker) {
	o := m.created()
	list := withQuery(m.collection(), m.selector())
	for _, accept := range accepts {
		for _, path := range []string{m.path(m.name), list} {
			verb := "get"
			if path == list {
				verb = "list"
			}
			m.sent(verb, "GET", path, nil).Header.Set("Accept", accept)
		}
		if m.chance(3) {
			m.sent("create", "POST", m.collection(), o).Header.Set("Accept", accept) // exists
			m.sent("create", "POST", withQuery(m.collection(), "dryRun=All"), m.object(m.nameOf(1))).Header.Set("Accept", accept)
			m.sent("get", "GET", m.path("nowhere"), nil).Header.Set("Accept", accept)
			patchTo(m, accept)
		}
	}
	for _, q := range []string{"includeObject=None", "includeObject=Object", "includeObject=Metadata", "includeObject=x"} {
		m.table(withQuery(list, q))
		m.table(withQuery(m.path(m.name), q))
	}
	for _, encoding := range []string{"gzip", "identity", "br", "gzip;q=0"} {
		m.sent("get", "GET", m.path(m.name), nil).Header.Set("Accept-Encoding", encoding)
	}
	m.sent("delete", "DELETE", m.path(m.name), nil).Header.Set("Accept", pick(m.Rand, accepts))
}

func patchTo(m *maker, accept string) {
	if m.r.Has("patch") {
		m.patch("merge", m.path(m.name), `{"metadata":{"annotations":{"a":"`+fmt.Sprint(m.IntN(100))+`"}}}`).Header.Set("Accept", accept)
	}
}

// watches follows objects.
func watches(m *maker) {
	path := withQuery(m.collection(), "watch=true", m.selector())
	watch := func(events int, accept string, q ...string) {
		r := m.sent("watch", "GET", withQuery(path, q...), nil)
		r.Events = events
		if accept != "" {
			r.Header.Set("Accept", accept)
		}
	}
	m.sent("list", "GET", withQuery(m.collection(), m.selector()), nil).Save = map[string]string{"begin": "metadata.resourceVersion"}
	m.three()
	events := 3
	if m.r.Has("patch") {
		m.patch("merge", m.path(m.name), `{"metadata":{"annotations":{"a":"b"}}}`)
		m.patch("merge", m.path(m.name), `{"metadata":{"labels":{"n":"moved"}}}`)
		events += 2
	}
	m.sent("delete", "DELETE", m.path(m.nameOf(2)), nil)
	watch(events+1, "", "resourceVersion=${begin}")
	watch(events+1, "application/json;as=Table;v=v1;g=meta.k8s.io", "resourceVersion=${begin}")
	watch(events+1, "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io", "resourceVersion=${begin}")
	watch(3, "", "sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "allowWatchBookmarks=true")
	watch(3, "application/json;as=Table;v=v1;g=meta.k8s.io", "sendInitialEvents=true", "resourceVersionMatch=NotOlderThan", "allowWatchBookmarks=true")
	watch(2, "", "resourceVersion=0")
	watch(1, "", "resourceVersion=0", "fieldSelector=metadata.name%3D"+m.name)
	watch(1, "", "resourceVersion=x")
	watch(1, "", "resourceVersion=-1")
	watch(1, "", "resourceVersion=1")
	for _, q := range []string{"sendInitialEvents=true", "sendInitialEvents=true&resourceVersionMatch=Exact", "resourceVersionMatch=NotOlderThan", "sendInitialEvents=false&resourceVersionMatch=NotOlderThan&resourceVersion=x", "limit=x", "continue=x", "labelSelector=a%20b", "fieldSelector=nothing%3Dx", "timeoutSeconds=x"} {
		watch(1, "", "timeoutSeconds=1", q)
	}
	watch(1, "application/xml", "timeoutSeconds=1")
	watch(1, "application/yaml", "timeoutSeconds=1")
	m.sent("watch", "GET", withQuery(strings.Replace(m.collection(), m.r.Prefix(), m.r.Prefix()+"/watch", 1), m.selector(), "resourceVersion=0"), nil).Events = 2
}
