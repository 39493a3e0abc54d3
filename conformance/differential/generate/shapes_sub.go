package generate

import "fmt"

// subresources asks a subresource everything, of an object that is there and of
// one that is not.
func subresources(m *maker) {
	parentName, sub := m.r.Parent()
	parent := m.g.api.Find(m.r, parentName)
	if parent == nil {
		methods(m)
		return
	}
	o := m.objectOf(parent, m.name)
	base := parent.Path(m.namespace) + "/" + m.name
	m.sent("create", "POST", parent.Path(m.namespace), o).Save = saveObject
	if m.r.Kind == parent.Kind { // status, approval, finalize, resize …
		ofParent(m, o)
	} else {
		ofItself(m, sub)
	}
	m.sent("get", "GET", base, nil)
	for _, accept := range []string{"application/json;as=Table;v=v1;g=meta.k8s.io", "application/yaml", "application/vnd.kubernetes.protobuf", "application/xml"} {
		if m.r.Has("get") && sub != "log" && sub != "proxy" && sub != "attach" && sub != "exec" && sub != "portforward" {
			m.sent("get", "GET", m.path(m.name), nil).Header.Set("Accept", accept)
		}
	}
	m.sent("delete", "DELETE", m.path(m.name), nil)
	m.sent("method OPTIONS", "OPTIONS", m.path(m.name), nil)
}

// ofParent writes the parent's kind by the subresource.
func ofParent(m *maker, o map[string]any) {
	if m.r.Has("get") {
		m.get()
	}
	for i := range 6 {
		changed := copied(o)
		filler{m.Rand, 0.1 * float64(i)}.fill(changed, m.r.Schema)
		if m.r.Has("update") {
			m.sent("update", "PUT", m.careful(m.path(m.name)), changed)
		}
		if m.r.Has("patch") {
			part := map[string]any{"status": changed["status"], "spec": changed["spec"]}
			m.patch("merge", m.careful(m.path(m.name)), jsonOf(part))
			m.patch("strategic", m.careful(m.path(m.name)), jsonOf(part))
			part["apiVersion"], part["kind"], part["metadata"] = m.r.APIVersion(), m.r.Kind, map[string]any{"name": m.name}
			m.patch("apply", m.careful(withQuery(m.path(m.name), fmt.Sprintf("fieldManager=m%d", i%2), "force=true")), jsonOf(part))
		}
	}
	if m.r.Has("update") {
		m.sent("update", "PUT", m.path(m.nameOf(1)), m.objectOf(m.r, m.nameOf(1)))
		changed := copied(o)
		meta(changed)["resourceVersion"] = "1"
		m.sent("update", "PUT", m.path(m.name), changed)
		meta(changed)["resourceVersion"] = ""
		meta(changed)["labels"] = map[string]any{"by": "status"}
		m.sent("update", "PUT", m.path(m.name), changed)
		m.sent("update", "PUT", m.path(m.name), `{`).Header.Set("Content-Type", "application/json")
	}
	if m.r.Has("patch") {
		m.patch("json", m.path(m.name), `[{"op":"add","path":"/metadata/annotations","value":{"by":"sub"}}]`)
		m.patch("merge", m.path(m.name), `{"metadata":{"finalizers":["a/b"],"annotations":{"by":"sub"}}}`)
	}
}

// ofItself sends the subresource's own kind: Scale, Eviction, Binding,
// TokenRequest.
func ofItself(m *maker, sub string) {
	own := m.objectOf(m.r, m.name)
	for i := range 4 {
		if m.r.Has("get") && i == 0 {
			m.get()
		}
		body := copied(own)
		if i > 0 {
			filler{m.Rand, 0.15 * float64(i)}.fill(body, m.r.Schema)
		}
		if i == 3 {
			m.mutate(body)
		}
		if m.r.Has("create") && sub != "exec" && sub != "attach" && sub != "portforward" && sub != "proxy" {
			m.sent("create", "POST", withQuery(m.path(m.name), "dryRun=All"), body)
			m.sent("create", "POST", m.path(m.name), body)
		}
		if m.r.Has("update") && sub != "proxy" {
			m.sent("update", "PUT", m.path(m.name), body)
		}
		if m.r.Has("patch") && sub != "proxy" {
			m.patch("merge", m.path(m.name), jsonOf(map[string]any{"spec": body["spec"]}))
			m.patch("apply", withQuery(m.path(m.name), "fieldManager=m", "force=true"), jsonOf(body))
		}
	}
	for _, method := range []string{"GET", "POST"} {
		if sub == "exec" || sub == "attach" || sub == "portforward" || sub == "proxy" || sub == "log" {
			m.sent("connect "+method, method, m.path(m.name), nil)
			m.sent("connect "+method, method, withQuery(m.path(m.name), "container=none", "command=x", "stdout=true"), nil)
			m.sent("connect "+method, method, m.path("nowhere"), nil)
			m.sent("connect "+method, method, withQuery(m.path(m.name), "tailLines=-1", "stdin=x", "ports=x"), nil)
		}
	}
	if m.r.Has("create") && sub != "proxy" {
		m.sent("create", "POST", m.path("nowhere"), m.objectOf(m.r, "nowhere"))
		m.sent("create", "POST", m.path(m.name), m.objectOf(m.r, "other"))
	}
}
