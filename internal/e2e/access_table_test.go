package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// TestAccess: what people, tenants, nodes, plugins and strangers may do to a
// control plane, row by row.
func TestAccess(t *testing.T) {
	p := startPlane(t)
	p.populate(t)
	for _, s := range []struct {
		name string
		rows func(*testing.T, *controlPlane) []attempt
	}{
		{"anonymous", anonymousRows}, {"tenant without rights", nobodyRows}, {"tenant with edit in one namespace", editorRows},
		{"tenant with admin in one namespace", ownerRows}, {"streams", streamRows}, {"certificates", certificateRows},
		{"node", nodeRows}, {"joining", joinRows}, {"plugins", pluginRows}, {"tokens", tokenRows}, {"image registry", imageRows},
	} {
		t.Run(s.name, func(t *testing.T) { p.try(t, s.rows(t, p)) })
	}
	t.Run("listening sockets", p.listensOnly)
	t.Run("files", func(t *testing.T) { keepsSecrets(t, p.dir) })
}

const (
	tenant = "/api/v1/namespaces/tenant"
	other  = "/api/v1/namespaces/other"
	rbac   = "/apis/rbac.authorization.k8s.io/v1"

	forbidden    = "Forbidden"
	unauthorized = "Unauthorized"
)

func configMap(name string) string {
	return `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"` + name + `"}}`
}

func review(kind, spec string) string {
	group := "authorization.k8s.io"
	if kind == "SelfSubjectReview" || kind == "TokenReview" {
		group = "authentication.k8s.io"
	}
	return fmt.Sprintf(`{"apiVersion":"%s/v1","kind":%q,"spec":{%s}}`, group, kind, spec)
}

const (
	self       = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
	reviews    = "/apis/authorization.k8s.io/v1/"
	attributes = `"resourceAttributes":{"verb":"get","resource":"pods","namespace":"tenant"}`
)

func anonymousRows(*testing.T, *controlPlane) []attempt {
	rows := []attempt{}
	for path, code := range map[string]int{"/version": 200, "/livez": 200, "/readyz": 200, "/healthz": 200} {
		rows = append(rows, attempt{who: "anonymous", what: "GET " + path, method: "GET", path: path, code: code})
	}
	for _, path := range []string{"/api", "/apis", "/openapi/v3", "/metrics", "/debug/pprof/", "/debug/pprof/heap", "/livez/etcd", "/openid/v1/jwks", "/.well-known/openid-configuration",
		"/explain/pods", "/api/v1/namespaces", "/api/v1/nodes", tenant + "/secrets", "/apis/pintle.dev/v1alpha1/plugins", "/no/such/path"} {
		rows = append(rows, attempt{who: "anonymous", what: "GET " + path, method: "GET", path: path, code: 403, reason: forbidden})
	}
	return append(rows,
		attempt{who: "anonymous", what: "ask what it may", method: "POST", path: reviews + "selfsubjectaccessreviews", body: review("SelfSubjectAccessReview", attributes), code: 403, reason: forbidden},
		attempt{who: "anonymous", what: "ask for a certificate", method: "POST", path: csrs, body: `{}`, code: 403, reason: forbidden},
		attempt{who: "anonymous", what: "act as an administrator", method: "GET", path: "/api/v1/nodes", header: map[string]string{"Impersonate-User": "kubernetes-admin", "Impersonate-Group": "system:masters"}, code: 403, reason: forbidden},
		attempt{who: "anonymous", what: "say in a header that it is one", method: "GET", path: "/api/v1/nodes", header: map[string]string{"X-Remote-User": "kubernetes-admin", "X-Remote-Group": "system:masters"}, code: 403, reason: forbidden},
		attempt{who: "anonymous", what: "basic credentials", method: "GET", path: "/version", header: map[string]string{"Authorization": "Basic YWRtaW46YWRtaW4="}, code: 401, reason: unauthorized},
		attempt{who: "anonymous", what: "a token of nobody", method: "GET", path: "/version", header: map[string]string{"Authorization": "Bearer aaaaaa.0123456789abcdef"}, code: 401, reason: unauthorized},
	)
}

func nobodyRows(t *testing.T, p *controlPlane) []attempt {
	rows := []attempt{
		{what: "GET /api", method: "GET", path: "/api", code: 200},
		{what: "who am I", method: "POST", path: self, body: review("SelfSubjectReview", ""), code: 201},
		{what: "what may I", method: "POST", path: reviews + "selfsubjectaccessreviews", body: review("SelfSubjectAccessReview", attributes), code: 201},
		{what: "what may others", method: "POST", path: reviews + "subjectaccessreviews", body: review("SubjectAccessReview", `"user":"editor",`+attributes), code: 403, reason: forbidden},
		{what: "what may others here", method: "POST", path: reviews + "namespaces/tenant/localsubjectaccessreviews", body: review("LocalSubjectAccessReview", `"user":"editor",`+attributes), code: 403, reason: forbidden},
		{what: "whose token is it", method: "POST", path: "/apis/authentication.k8s.io/v1/tokenreviews", body: review("TokenReview", `"token":"x"`), code: 403, reason: forbidden},
		{what: "write a ConfigMap", method: "POST", path: tenant + "/configmaps", body: configMap("x"), code: 403, reason: forbidden},
		{what: "apply a ConfigMap that is not there", method: "PATCH", path: tenant + "/configmaps/x?fieldManager=m", body: configMap("x"), header: map[string]string{"Content-Type": "application/apply-patch+yaml"}, code: 403, reason: forbidden},
		{what: "delete all pods", method: "DELETE", path: tenant + "/pods", code: 403, reason: forbidden},
		{what: "make a pod and try it only", method: "POST", path: tenant + "/pods?dryRun=All", body: podOn("", "x", "web"), code: 403, reason: forbidden},
		{what: "bind a pod", method: "POST", path: tenant + "/pods/mine/binding", body: `{"apiVersion":"v1","kind":"Binding","target":{"name":"n2"}}`, code: 403, reason: forbidden},
		{what: "evict a pod", method: "POST", path: tenant + "/pods/mine/eviction", body: `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"mine"}}`, code: 403, reason: forbidden},
		{what: "a token of an account", method: "POST", path: tenant + "/serviceaccounts/web/token", body: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, code: 403, reason: forbidden},
		{what: "act as a tenant", method: "GET", path: tenant + "/pods", header: map[string]string{"Impersonate-User": "editor"}, code: 403, reason: forbidden},
		{what: "act as itself, and as a group", method: "GET", path: tenant + "/pods", header: map[string]string{"Impersonate-User": "nobody", "Impersonate-Group": "system:masters"}, code: 403, reason: forbidden},
		{what: "act as a group alone", method: "GET", path: tenant + "/pods", header: map[string]string{"Impersonate-Group": "system:masters"}, code: 400, reason: "BadRequest"},
		{what: "bind itself to cluster-admin", method: "POST", path: rbac + "/clusterrolebindings", body: bindingOf("nobody", "cluster-admin"), code: 403, reason: forbidden},
		{what: "taint a node", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"spec":{"taints":[]}}`, code: 403, reason: forbidden},
		{what: "make a namespace", method: "POST", path: "/api/v1/namespaces", body: `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"x"}}`, code: 403, reason: forbidden},
		{what: "load a plugin", method: "POST", path: plugins, body: pluginOf("mine", "wasm"), code: 403, reason: forbidden},
		{what: "upload a module", method: "POST", path: "/apis/pintle.dev/v1alpha1/pluginmodules", body: `{}`, code: 403, reason: forbidden},
		{what: "a lease of a node", method: "PUT", path: "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/n1", body: `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"n1"}}`, code: 403, reason: forbidden},
		{what: "an Event", method: "POST", path: tenant + "/events", body: eventOn("tenant", "e"), code: 403, reason: forbidden},
	}
	for _, path := range []string{"/metrics", "/debug/pprof/", "/debug/pprof/profile?seconds=1", "/explain/pods", "/openid/v1/jwks", "/livez/etcd", tenant + "/pods", tenant + "/secrets/mine", tenant + "/pods/mine/log",
		tenant + "/pods?watch=true", "/api/v1/secrets", "/api/v1/nodes/n1", "/api/v1/nodes/n1/proxy/pods", tenant + "/pods/mine/proxy/", tenant + "/services/web/proxy/", csrs, plugins} {
		rows = append(rows, attempt{what: "GET " + path, method: "GET", path: path, code: 403, reason: forbidden})
	}
	return by("nobody", rows)
}

// by names who makes attempts.
func by(who string, rows []attempt) []attempt {
	for i := range rows {
		rows[i].who = who
	}
	return rows
}

func bindingOf(user, role string) string {
	return fmt.Sprintf(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRoleBinding","metadata":{"name":"mine"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":%q},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":%q}]}`, role, user)
}

func eventOn(namespace, name string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Event","metadata":{"name":%q},"involvedObject":{"kind":"Pod","namespace":%q,"name":"mine"},"reason":"R","message":"m","type":"Normal"}`, name, namespace)
}

func editorRows(t *testing.T, p *controlPlane) []attempt {
	account := func(ns string) map[string]string {
		return map[string]string{"Impersonate-User": "system:serviceaccount:" + ns + ":web"}
	}
	const tokenRequest = `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`
	rows := []attempt{
		{what: "write in its namespace", method: "POST", path: tenant + "/configmaps", body: configMap("mine"), code: 201},
		{what: "read its Secret", method: "GET", path: tenant + "/secrets/mine", code: 200},
		{what: "write elsewhere", method: "POST", path: other + "/configmaps", body: configMap("mine"), code: 403, reason: forbidden},
		{what: "read a Secret elsewhere", method: "GET", path: other + "/secrets/mine", code: 403, reason: forbidden},
		{what: "a body of another namespace", method: "POST", path: tenant + "/configmaps", body: `{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"x","namespace":"other"}}`, code: 400, reason: "BadRequest"},
		{what: "leave the namespace by dots", method: "GET", path: tenant + "/configmaps/..%2f..%2fother%2fsecrets", code: 403, reason: forbidden},
		{what: "list all namespaces' pods", method: "GET", path: "/api/v1/pods", code: 403, reason: forbidden},
		{what: "pods of a node by a selector", method: "GET", path: "/api/v1/pods?fieldSelector=metadata.namespace%3Dtenant", code: 403, reason: forbidden},
		{what: "an Event on its pod", method: "POST", path: tenant + "/events", body: eventOn("tenant", "e"), code: 201},
		{what: "an Event on a pod elsewhere", method: "POST", path: tenant + "/events", body: eventOn("other", "e2"), code: 422, reason: "Invalid"},
		{what: "an Event elsewhere", method: "POST", path: other + "/events", body: eventOn("other", "e"), code: 403, reason: forbidden},
		{what: "an Event of kube-system", method: "POST", path: "/api/v1/namespaces/kube-system/events", body: eventOn("kube-system", "e"), code: 403, reason: forbidden},
		{what: "a token of its account", method: "POST", path: tenant + "/serviceaccounts/web/token", body: tokenRequest, code: 201},
		{what: "a token of another's account", method: "POST", path: other + "/serviceaccounts/web/token", body: tokenRequest, code: 403, reason: forbidden},
		{what: "act as its account", method: "POST", path: self, body: review("SelfSubjectReview", ""), header: account("tenant"), code: 201},
		{what: "act as another's account", method: "POST", path: self, body: review("SelfSubjectReview", ""), header: account("other"), code: 403, reason: forbidden},
		{what: "act as a node", method: "GET", path: "/api/v1/nodes", header: map[string]string{"Impersonate-User": "system:node:n1", "Impersonate-Group": "system:nodes"}, code: 403, reason: forbidden},
		{what: "read roles", method: "GET", path: rbac + "/namespaces/tenant/roles", code: 403, reason: forbidden},
		{what: "bind a role", method: "POST", path: rbac + "/namespaces/tenant/rolebindings", body: `{}`, code: 403, reason: forbidden},
		{what: "bind a pod to a node", method: "POST", path: tenant + "/pods/mine/binding", body: `{"apiVersion":"v1","kind":"Binding","target":{"name":"n2"}}`, code: 403, reason: forbidden},
		{what: "write a pod's status", method: "PATCH", path: tenant + "/pods/mine/status", body: `{"status":{"phase":"Failed"}}`, code: 403, reason: forbidden},
		{what: "raise its quota", method: "POST", path: tenant + "/resourcequotas", body: `{}`, code: 403, reason: forbidden},
		{what: "label its namespace", method: "PATCH", path: "/api/v1/namespaces/tenant", body: `{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`, code: 403, reason: forbidden},
		{what: "the pod security of its namespace, by its finalizers", method: "PUT", path: "/api/v1/namespaces/tenant/finalize", body: `{}`, code: 403, reason: forbidden},
		{what: "a volume of the cluster", method: "POST", path: "/api/v1/persistentvolumes", body: `{}`, code: 403, reason: forbidden},
		{what: "a priority of the system", method: "POST", path: tenant + "/pods", body: strings.Replace(podOn("", "urgent", "web"), `"spec":{`, `"spec":{"priorityClassName":"system-node-critical",`, 1), code: 201},
		{what: "endpoints that lead elsewhere", method: "POST", path: "/apis/discovery.k8s.io/v1/namespaces/tenant/endpointslices", body: `{}`, code: 403, reason: forbidden},
		{what: "legacy endpoints", method: "POST", path: tenant + "/endpoints", body: `{}`, code: 403, reason: forbidden},
		{what: "a node's proxy", method: "GET", path: "/api/v1/nodes/n1/proxy/pods", code: 403, reason: forbidden},
		{what: "load a plugin", method: "POST", path: plugins, body: pluginOf("mine", "wasm"), code: 403, reason: forbidden},
		{what: "GET /metrics", method: "GET", path: "/metrics", code: 403, reason: forbidden},
		{what: "GET /debug/pprof/", method: "GET", path: "/debug/pprof/", code: 403, reason: forbidden},
	}
	for _, x := range []struct {
		what, address string
		code          int
		reason        string
	}{
		{"a Service at a node's address", "192.0.2.12", 403, forbidden}, {"a Service at the API server's address", "198.51.100.10", 403, forbidden},
		{"a Service at another Service's address", "10.96.0.1", 403, forbidden}, {"a Service at an address outside", "203.0.113.5", 201, ""},
	} {
		rows = append(rows, attempt{what: x.what, method: "POST", path: tenant + "/services", code: x.code, reason: x.reason,
			body: `{"apiVersion":"v1","kind":"Service","metadata":{"generateName":"x"},"spec":{"ports":[{"port":80}],"externalIPs":["` + x.address + `"]}}`})
	}
	rows = append(rows, attempt{what: "a Service's address by its status", method: "PATCH", path: tenant + "/services/x/status", body: `{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.12"}]}}}`, code: 403, reason: forbidden})
	return by("editor", rows)
}

func ownerRows(t *testing.T, p *controlPlane) []attempt {
	role := func(name, rules string) string {
		return `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"Role","metadata":{"name":"` + name + `"},"rules":[` + rules + `]}`
	}
	binding := func(name, kind, role string) string {
		return fmt.Sprintf(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"RoleBinding","metadata":{"name":%q},
			"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":%q,"name":%q},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":"somebody"}]}`, name, kind, role)
	}
	const roles, bindings = rbac + "/namespaces/tenant/roles", rbac + "/namespaces/tenant/rolebindings"
	rows := []attempt{
		{what: "grant what it holds", method: "POST", path: roles, body: role("readers", `{"apiGroups":[""],"resources":["pods"],"verbs":["get"]}`), code: 201},
		{what: "grant everything", method: "POST", path: roles, body: role("all", `{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}`), code: 403, reason: forbidden, says: "not currently held"},
		{what: "extend a role beyond itself", method: "PATCH", path: roles + "/readers", body: `{"rules":[{"apiGroups":[""],"resources":["nodes"],"verbs":["get"]}]}`, code: 403, reason: forbidden, says: "not currently held"},
		{what: "grant by a dry run", method: "POST", path: roles + "?dryRun=All", body: role("all", `{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}`), code: 403, reason: forbidden},
		{what: "bind a role that it holds", method: "POST", path: bindings, body: binding("edit", "ClusterRole", "edit"), code: 201},
		{what: "bind cluster-admin", method: "POST", path: bindings, body: binding("all", "ClusterRole", "cluster-admin"), code: 403, reason: forbidden, says: "not currently held"},
		{what: "bind a role that is not there", method: "POST", path: bindings, body: binding("none", "ClusterRole", "none"), code: 404, reason: "NotFound"},
		{what: "bind for the whole cluster", method: "POST", path: rbac + "/clusterrolebindings", body: bindingOf("owner", "view"), code: 403, reason: forbidden},
		{what: "make a cluster role", method: "POST", path: rbac + "/clusterroles", body: `{}`, code: 403, reason: forbidden},
		{what: "change a role of the system", method: "PATCH", path: rbac + "/clusterroles/edit", body: `{"rules":[]}`, code: 403, reason: forbidden},
		{what: "what may others here", method: "POST", path: reviews + "namespaces/tenant/localsubjectaccessreviews", body: `{"apiVersion":"authorization.k8s.io/v1","kind":"LocalSubjectAccessReview","metadata":{"namespace":"tenant"},"spec":{"user":"editor",` + attributes + `}}`, code: 201},
		{what: "what may others elsewhere", method: "POST", path: reviews + "namespaces/other/localsubjectaccessreviews", body: review("LocalSubjectAccessReview", `"user":"editor",`+attributes), code: 403, reason: forbidden},
		{what: "change the quota of its namespace", method: "POST", path: tenant + "/resourcequotas", body: `{}`, code: 403, reason: forbidden},
		{what: "delete its namespace", method: "DELETE", path: "/api/v1/namespaces/tenant", code: 403, reason: forbidden},
	}
	return by("owner", rows)
}

func streamRows(t *testing.T, p *controlPlane) []attempt {
	upgrade := map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "v5.channel.k8s.io"}
	var rows []attempt
	for _, x := range []string{"exec?command=id&stdout=true", "attach?stdout=true", "portforward?ports=80"} {
		what, _, _ := strings.Cut(x, "?")
		path := tenant + "/pods/mine/" + x
		rows = append(rows,
			attempt{who: "nobody", what: what + " by POST", method: "POST", path: path, code: 403, reason: forbidden},
			attempt{who: "nobody", what: what + " by WebSocket", method: "GET", path: path, header: upgrade, code: 403, reason: forbidden},
			attempt{who: "viewer", what: what + " by POST, with get only", method: "POST", path: path, code: 403, reason: forbidden},
			attempt{who: "viewer", what: what + " by WebSocket, with get only", method: "GET", path: path, header: upgrade, code: 403, reason: forbidden},
			attempt{who: "node", what: what + " into its own pod", method: "GET", path: path, header: upgrade, code: 403, reason: forbidden},
		)
	}
	return append(rows,
		attempt{who: "viewer", what: "a node's proxy by WebSocket, with get only", method: "GET", path: "/api/v1/nodes/n1/proxy/exec/tenant/mine/c?command=id&output=1", header: upgrade, code: 403, reason: forbidden},
		attempt{who: "editor", what: "exec elsewhere", method: "GET", path: other + "/pods/mine/exec?command=id", header: upgrade, code: 403, reason: forbidden},
		attempt{who: "viewer", what: "a node's proxy by POST, with get only", method: "POST", path: "/api/v1/nodes/n1/proxy/run/tenant/mine/c?cmd=id", code: 403, reason: forbidden},
	)
}

func certificateRows(t *testing.T, p *controlPlane) []attempt {
	ask := func(name, signer, usage, user string, groups ...string) string {
		body, _ := csrBody(t, name, signer, usage, user, groups...)
		return body
	}
	// Somebody's request, which others try to approve.
	p.must(t, "POST", csrs, ask("waiting", clientSigner, "client auth", "ann", "tenants"), nil)
	rows := []attempt{
		{who: "editor", what: "ask for a certificate", method: "POST", path: csrs, body: ask("c1", clientSigner, "client auth", "ann"), code: 403, reason: forbidden},
		{who: "editor", what: "approve", method: "PATCH", path: csrs + "/waiting/approval", body: "{" + approved + "}", code: 403, reason: forbidden},
		{who: "clerk", what: "ask for a certificate", method: "POST", path: csrs, body: ask("c2", clientSigner, "client auth", "ann"), code: 201},
		{who: "clerk", what: "ask for one of system:masters", method: "POST", path: csrs, body: ask("c3", clientSigner, "client auth", "ann", "system:masters"), code: 403, reason: forbidden, says: "system:masters"},
		{who: "clerk", what: "approve without the signer's verb", method: "PATCH", path: csrs + "/waiting/approval", body: "{" + approved + "}", code: 403, reason: forbidden, says: "not permitted to approve"},
		{who: "clerk", what: "sign without the signer's verb", method: "PATCH", path: csrs + "/waiting/status", body: `{"status":{"conditions":[{"type":"Failed","status":"True","reason":"r"}]}}`, code: 403, reason: forbidden, says: "not permitted to sign"},
		{who: "clerk", what: "ask in another's name", method: "POST", path: csrs, body: strings.Replace(ask("c4", clientSigner, "client auth", "ann"), `"spec":{`, `"spec":{"username":"kubernetes-admin","groups":["system:masters"],`, 1), code: 201, says: `"username":"clerk"`},
		{who: "clerk", what: "ask for one that is approved already", method: "POST", path: csrs, body: strings.Replace(ask("c7", clientSigner, "client auth", "ann"), `"spec":{`, approved+`,"spec":{`, 1), code: 201},
		{who: "clerk", what: "approve it without the subresource", method: "PATCH", path: csrs + "/c7", body: "{" + approved + "}", code: 200},
		{who: "clerk", what: "sign it by the approval", method: "PATCH", path: csrs + "/c7/approval", body: `{"status":{"certificate":"eA=="}}`, code: 403, reason: forbidden},
		{who: "admin", what: "see it unapproved", method: "GET", path: csrs + "/c7", code: 200, says: `"status":{}`},
		{who: "node", what: "ask for another node's certificate", method: "POST", path: csrs, body: ask("c5", nodeSigner, "client auth", "system:node:n2", "system:nodes"), code: 403, reason: forbidden, says: "CN=system:node:n1"},
		{who: "node", what: "ask to serve as the API server", method: "POST", path: csrs, body: ask("c6", "kubernetes.io/kubelet-serving", "server auth", "kube-apiserver", "system:nodes"), code: 403, reason: forbidden},
		{who: "node", what: "approve", method: "PATCH", path: csrs + "/waiting/approval", body: "{" + approved + "}", code: 403, reason: forbidden},
		{who: "node", what: "a trust bundle", method: "POST", path: "/apis/certificates.k8s.io/v1beta1/clustertrustbundles", body: `{}`, code: 403, reason: forbidden},
	}
	return rows
}
