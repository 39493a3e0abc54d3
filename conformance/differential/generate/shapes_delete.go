package generate

import "strings"

// deletion deletes an object in all ways.
func deletion(m *maker) {
	m.created()
	del := func(body any, q ...string) {
		path := m.path(m.name)
		if len(q) > 0 {
			path = withQuery(path, q...)
		}
		m.sent("delete", "DELETE", path, body)
	}
	type o = map[string]any
	for _, body := range []any{
		o{"preconditions": o{"uid": "00000000-0000-0000-0000-000000000000"}}, o{"preconditions": o{"resourceVersion": "1"}}, o{"preconditions": o{"uid": 7}},
		o{"propagationPolicy": "x"}, o{"propagationPolicy": "Orphan", "orphanDependents": true}, o{"dryRun": []any{"x"}}, o{"gracePeriodSeconds": "x"},
		o{"kind": "Other", "apiVersion": "v1"}, o{"kind": "DeleteOptions", "apiVersion": "v9"}, o{"unknown": 1}, o{"ignoreStoreReadErrorWithClusterBreakingPotential": true}, o{"ignoreStoreReadErrorWithClusterBreakingPotential": true, "dryRun": []any{"All"}},
	} {
		del(body)
	}
	for _, q := range []string{"dryRun=x", "propagationPolicy=x", "gracePeriodSeconds=x", "gracePeriodSeconds=-1&dryRun=All", "orphanDependents=x", "propagationPolicy=Orphan&orphanDependents=true", "dryRun=All&propagationPolicy=Foreground", "dryRun=All&propagationPolicy=Orphan", "dryRun=All", "dryRun=All&gracePeriodSeconds=7"} {
		del(nil, q)
	}
	m.sent("delete", "DELETE", m.path(m.name), "{").Header.Set("Content-Type", "application/json")
	m.sent("delete", "DELETE", m.path(m.name), `{"dryRun":["All"]}`).Header.Set("Content-Type", "text/plain")
	m.sent("delete", "DELETE", m.path(m.name), "dryRun: [All]\n").Header.Set("Content-Type", "application/yaml")
	m.get()
	if m.r.Has("patch") {
		m.patch("merge", m.path(m.name), `{"metadata":{"finalizers":["example.com/held"]}}`).Save = saveObject
	}
	del(o{"preconditions": o{"uid": "${uid}", "resourceVersion": "${rv}"}, "propagationPolicy": pick(m.Rand, []string{"Foreground", "Background", "Orphan"})})
	m.get()
	if m.r.Has("patch") {
		del(nil)
		m.patch("merge", m.path(m.name), `{"metadata":{"finalizers":["example.com/held","example.com/new"]}}`)
		m.patch("merge", m.path(m.name), `{"metadata":{"annotations":{"a":"b"}}}`)
		m.patch("merge", m.path(m.name), `{"metadata":{"finalizers":null}}`)
	}
	m.get()
	del(nil)
}

// collections deletes several objects at once.
func collections(m *maker) {
	m.three()
	path := withQuery(m.collection(), m.selector())
	del := func(body any, q ...string) {
		p := path
		if len(q) > 0 {
			p = withQuery(path, q...)
		}
		m.sent("deletecollection", "DELETE", p, body)
	}
	for _, q := range []string{"dryRun=All", "dryRun=x", "limit=x", "continue=x", "resourceVersion=x", "fieldSelector=nothing%3Dx", "propagationPolicy=x", "dryRun=All&limit=1", "gracePeriodSeconds=x", "resourceVersion=${rv}&dryRun=All", "resourceVersionMatch=Exact", "sendInitialEvents=true"} {
		del(nil, q)
	}
	m.sent("deletecollection", "DELETE", withQuery(m.collection(), "labelSelector=a%20b"), nil)
	del(map[string]any{"preconditions": map[string]any{"uid": "x"}}, "dryRun=All")
	del(map[string]any{"unknown": true}, "dryRun=All")
	m.sent("deletecollection", "DELETE", withQuery(path, "dryRun=All"), "{").Header.Set("Content-Type", "application/json")
	for _, accept := range []string{"application/json;as=Table;v=v1;g=meta.k8s.io", "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "application/yaml", "application/xml"} {
		m.sent("deletecollection", "DELETE", withQuery(path, "dryRun=All"), nil).Header.Set("Accept", accept)
	}
	del(nil, "fieldSelector=metadata.name%3D"+m.name)
	m.sent("list", "GET", path, nil)
	del(nil)
	m.sent("list", "GET", path, nil)
	del(nil)
}

// rights asks without the right to, or as nobody.
func rights(m *maker) {
	o := m.object(m.name)
	as := func(token string) {
		begin := len(m.requests)
		m.sent("get", "GET", m.path(m.name), nil)
		m.sent("list", "GET", m.collection(), nil)
		m.sent("watch", "GET", withQuery(m.collection(), "watch=true"), nil)
		m.create(o)
		m.sent("update", "PUT", m.path(m.name), o)
		m.patch("merge", m.path(m.name), `{}`)
		m.patch("apply", m.path(m.name), jsonOf(o))
		m.sent("delete", "DELETE", m.path(m.name), nil)
		m.sent("deletecollection", "DELETE", m.collection(), nil)
		for _, r := range m.requests[begin:] {
			r.Token = token
		}
	}
	as("nobody-token")
	as("-")
	as("wrong-token")
	begin := len(m.requests)
	m.get()
	m.get().Header.Set("Impersonate-Group", "g")
	m.get().Header.Set("Impersonate-Uid", "u")
	m.get().Header.Set("Impersonate-Extra-a", "b")
	for i, r := range m.requests[begin:] {
		if i != 1 {
			r.Header.Set("Impersonate-User", pick(m.Rand, []string{"someone", "system:serviceaccount:a:b", "system:node:x", "system:anonymous"}))
		}
	}
	m.get().Header.Set("Impersonate-User", "")
	impersonate := m.get()
	impersonate.Token = "nobody-token"
	impersonate.Header.Set("Impersonate-User", "admin")
}

// methods asks for what is not there.
func methods(m *maker) {
	c, p := m.collection(), m.path(m.name)
	for _, method := range []string{"PUT", "PATCH", "OPTIONS", "TRACE", "X", "POST", "HEAD"} {
		for _, path := range []string{c, p} {
			if method == "POST" && path == c {
				continue
			}
			m.sent("method "+method, method, path, `{}`).Header.Set("Content-Type", "application/json")
		}
	}
	for _, path := range []string{
		c + "/", p + "/", p + "/nothing", p + "/status", p + "/scale", p + "/a/b/c", strings.Replace(c, "/v1", "/v9", 1), c + "x", strings.ToUpper(c), strings.Replace(c, "/api", "//api", 1),
		c + "/..", c + "/%2e%2e", c + "/a%2Fb", c + "/%00", c + "?", p + "/proxy", p + "/log", p + "/exec", m.r.Prefix(), m.r.Prefix() + "/", m.r.Prefix() + "/nothings", m.r.Prefix() + "/namespaces/x/nothings/y", m.r.Prefix() + "/watch", m.r.Prefix() + "/namespaces",
	} {
		m.sent("path", "GET", path, nil)
	}
	if !m.r.Namespaced {
		m.sent("path", "GET", strings.Replace(c, m.r.Prefix(), m.r.Prefix()+"/namespaces/default", 1), nil)
	} else {
		m.sent("path", "POST", m.r.Path(""), m.object(m.name))
		m.sent("path", "DELETE", m.r.Path(""), nil)
	}
}
