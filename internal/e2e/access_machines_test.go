package e2e

import (
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	plugins = "/apis/pintle.dev/v1alpha1/plugins"
	leases  = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
)

func leaseOf(name string) string {
	return `{"apiVersion":"coordination.k8s.io/v1","kind":"Lease","metadata":{"name":"` + name + `"}}`
}

func nodeRows(t *testing.T, p *controlPlane) []attempt {
	request := func(pod, spec string) string {
		return fmt.Sprintf(`{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{%s"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":%q,"uid":%q}}}`,
			spec, pod, p.uid(t, tenant+"/pods/"+pod))
	}
	token := tenant + "/serviceaccounts/web/token"
	return by("node", []attempt{
		{what: "read its own node", method: "GET", path: "/api/v1/nodes/n1", code: 200},
		{what: "list nodes (they lay routes to each other)", method: "GET", path: "/api/v1/nodes", code: 200},
		{what: "write its own status", method: "PATCH", path: "/api/v1/nodes/n1/status", body: `{"status":{"capacity":{"cpu":"1"}}}`, code: 200},
		{what: "write another's status", method: "PATCH", path: "/api/v1/nodes/n2/status", body: `{"status":{"capacity":{"cpu":"1"}}}`, code: 403, reason: forbidden},
		{what: "register as another", method: "POST", path: "/api/v1/nodes", body: `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n3"}}`, code: 403, reason: forbidden, says: "not allowed to modify node"},
		{what: "a label of its own", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"metadata":{"labels":{"zone":"b"}}}`, code: 200},
		{what: "a label of an administrator's", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"metadata":{"labels":{"node-restriction.kubernetes.io/tier":"secret"}}}`, code: 403, reason: forbidden, says: "not allowed to modify labels"},
		{what: "a role of Kubernetes' domain", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"metadata":{"labels":{"node-role.kubernetes.io/control-plane":""}}}`, code: 403, reason: forbidden, says: "not allowed to modify labels"},
		{what: "the label by its status", method: "PATCH", path: "/api/v1/nodes/n1/status", body: `{"metadata":{"labels":{"node-restriction.kubernetes.io/tier":"secret"}}}`, code: 403, reason: forbidden},
		{what: "its own taints", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"spec":{"taints":[{"key":"k","effect":"NoSchedule"}]}}`, code: 403, reason: forbidden, says: "not allowed to modify taints"},
		{what: "register with a range of pod addresses", method: "POST", path: "/api/v1/nodes", body: `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n1"},"spec":{"podCIDR":"192.0.2.0/24","podCIDRs":["192.0.2.0/24"]}}`, code: 403, reason: forbidden, says: "spec.podCIDR"},
		{what: "its own owners", method: "PATCH", path: "/api/v1/nodes/n1", body: `{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ConfigMap","name":"x","uid":"y"}]}}`, code: 403, reason: forbidden, says: "ownerReferences"},
		{what: "label another node", method: "PATCH", path: "/api/v1/nodes/n2", body: `{"metadata":{"labels":{"zone":"b"}}}`, code: 403, reason: forbidden},
		{what: "delete its own node", method: "DELETE", path: "/api/v1/nodes/n1", code: 403, reason: forbidden},
		{what: "delete another node", method: "DELETE", path: "/api/v1/nodes/n2", code: 403, reason: forbidden},
		{what: "its lease", method: "POST", path: leases, body: leaseOf("n1"), code: 201},
		{what: "another's lease", method: "POST", path: leases, body: leaseOf("n2"), code: 403, reason: forbidden},
		{what: "renew another's lease", method: "PUT", path: leases + "/n2", body: leaseOf("n2"), code: 403, reason: forbidden},
		{what: "a lease elsewhere", method: "POST", path: "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases", body: leaseOf("n1"), code: 403, reason: forbidden},

		{what: "list all pods", method: "GET", path: "/api/v1/pods", code: 403, reason: forbidden},
		{what: "list its pods", method: "GET", path: "/api/v1/pods?fieldSelector=spec.nodeName%3Dn1", code: 200},
		{what: "list another's pods", method: "GET", path: "/api/v1/pods?fieldSelector=spec.nodeName%3Dn2", code: 403, reason: forbidden},
		{what: "list all pods but another's", method: "GET", path: "/api/v1/pods?fieldSelector=spec.nodeName%21%3Dn2", code: 403, reason: forbidden},
		{what: "read its pod", method: "GET", path: tenant + "/pods/mine", code: 200},
		{what: "read another's pod", method: "GET", path: tenant + "/pods/theirs", code: 403, reason: forbidden},
		{what: "write its pod's status", method: "PATCH", path: tenant + "/pods/mine/status", body: `{"status":{"message":"m"}}`, code: 200},
		{what: "write another's pod's status", method: "PATCH", path: tenant + "/pods/theirs/status", body: `{"status":{"phase":"Failed"}}`, code: 403, reason: forbidden},
		{what: "label its pod by the status", method: "PATCH", path: tenant + "/pods/mine/status", body: `{"metadata":{"labels":{"app":"bank"}}}`, code: 403, reason: forbidden},
		{what: "make a pod", method: "POST", path: tenant + "/pods", body: podOn("n1", "new", "web"), code: 403, reason: forbidden, says: "can only create mirror pods"},
		{what: "change its pod", method: "PATCH", path: tenant + "/pods/mine", body: `{"metadata":{"labels":{"app":"bank"}}}`, code: 403, reason: forbidden},
		{what: "delete another's pod", method: "DELETE", path: tenant + "/pods/theirs", code: 403, reason: forbidden},
		{what: "evict another's pod", method: "POST", path: tenant + "/pods/theirs/eviction", body: `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"theirs"}}`, code: 403, reason: forbidden},
		{what: "bind a pod to itself", method: "POST", path: tenant + "/pods/theirs/binding", body: `{"apiVersion":"v1","kind":"Binding","target":{"name":"n1"}}`, code: 403, reason: forbidden},

		{what: "a Secret of its pod", method: "GET", path: tenant + "/secrets/mine", code: 200},
		{what: "a Secret of another's pod", method: "GET", path: tenant + "/secrets/theirs", code: 403, reason: forbidden, says: "no relationship found"},
		{what: "a Secret of its pod's name elsewhere", method: "GET", path: other + "/secrets/mine", code: 403, reason: forbidden},
		{what: "all Secrets", method: "GET", path: tenant + "/secrets", code: 403, reason: forbidden},
		{what: "the join tokens", method: "GET", path: "/api/v1/namespaces/kube-system/secrets", code: 403, reason: forbidden},
		{what: "write a Secret of its pod", method: "PATCH", path: tenant + "/secrets/mine", body: `{}`, code: 403, reason: forbidden},
		{what: "a ConfigMap of nobody", method: "GET", path: tenant + "/configmaps/none", code: 403, reason: forbidden},

		{what: "a token for its pod", method: "POST", path: token, body: request("mine", ""), code: 201},
		{what: "a token for its pod, for others that it names", method: "POST", path: token, body: request("mine", `"audiences":["vault.example"],`), code: 201},
		{what: "a token for its pod, for others that it does not name", method: "POST", path: token, body: request("mine", `"audiences":["bank.example"],`), code: 403, reason: forbidden, says: "audience"},
		{what: "a token for another's pod", method: "POST", path: token, body: request("theirs", ""), code: 403, reason: forbidden, says: "different node"},
		{what: "a token for no pod", method: "POST", path: token, body: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, code: 403, reason: forbidden, says: "not bound to a pod"},
		{what: "a token of another account", method: "POST", path: "/api/v1/namespaces/kube-system/serviceaccounts/default/token", body: request("mine", ""), code: 403, reason: forbidden},

		{what: "act as somebody", method: "GET", path: "/api/v1/pods", header: map[string]string{"Impersonate-User": "system:node:n2", "Impersonate-Group": "system:nodes"}, code: 403, reason: forbidden},
		{what: "what may others", method: "POST", path: reviews + "subjectaccessreviews", body: review("SubjectAccessReview", `"user":"editor",`+attributes), code: 201},
		{what: "an Event", method: "POST", path: tenant + "/events", body: eventOn("tenant", "node"), code: 201},
		{what: "load a plugin", method: "POST", path: plugins, body: pluginOf("mine", "wasm"), code: 403, reason: forbidden},
		{what: "roles", method: "GET", path: rbac + "/clusterroles", code: 403, reason: forbidden},
		{what: "another node's proxy", method: "GET", path: "/api/v1/nodes/n2/proxy/pods", code: 403, reason: forbidden},
		{what: "GET /metrics", method: "GET", path: "/metrics", code: 403, reason: forbidden},
		{what: "GET /debug/pprof/", method: "GET", path: "/debug/pprof/", code: 403, reason: forbidden},
	})
}

// joinRows: what a join token is good for, besides the node that it made.
func joinRows(t *testing.T, p *controlPlane) []attempt {
	tok := strings.Split(strings.TrimSpace(p.pintle(t, "token", "create", "--print-token")), ".")
	p.bearer("fresh token", tok[1]+"."+tok[2])
	ask := func(who, name, node string) (string, string) {
		t.Helper()
		body, _ := csrBody(t, name, nodeSigner, "client auth", "system:node:"+node, "system:nodes")
		p.asks(t, who, "POST", csrs, body)
		c := p.signed(t, name).Status.Conditions
		return c[len(c)-1].Type, c[len(c)-1].Message
	}
	for _, x := range []struct{ who, node, says string }{
		{"joiner", "n9", "has been used"}, {"fresh token", "n1", "exists already"}, {"fresh token", "n2", "exists already"},
	} {
		if got, text := ask(x.who, "try-"+strings.Fields(x.who)[0]+"-"+x.node, x.node); got != "Denied" || !strings.Contains(text, x.says) {
			t.Errorf("%s joins as %s: got %s %q, want it denied: %s", x.who, x.node, got, text, x.says)
		}
	}
	return by("fresh token", []attempt{
		{what: "read requests for certificates", method: "GET", path: csrs, code: 200},
		{what: "approve one", method: "PATCH", path: csrs + "/join-n1/approval", body: "{" + approved + "}", code: 403, reason: forbidden},
		{what: "the nodes", method: "GET", path: "/api/v1/nodes", code: 403, reason: forbidden},
		{what: "register a node", method: "POST", path: "/api/v1/nodes", body: `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n9"}}`, code: 403, reason: forbidden},
		{what: "the join tokens", method: "GET", path: "/api/v1/namespaces/kube-system/secrets", code: 403, reason: forbidden},
		{what: "its own token", method: "GET", path: "/api/v1/namespaces/kube-system/secrets/bootstrap-token-" + tok[1], code: 403, reason: forbidden},
	})
}

// pluginOf is a plugin of a module that nobody has uploaded, with more of its
// spec.
func pluginOf(name, host string, more ...string) string {
	return fmt.Sprintf(`{"apiVersion":"pintle.dev/v1alpha1","kind":"Plugin","metadata":{"name":%q},"spec":{"host":%q,"digest":"sha256:%s"%s}}`, name, host, strings.Repeat("0", 64), strings.Join(more, ""))
}

func reads(resource string) string {
	return `,"permissions":[{"apiGroups":[""],"resources":["` + resource + `"],"verbs":["get","list","watch"]}]`
}

func pluginRows(t *testing.T, p *controlPlane) []attempt {
	with := func(name, host, permissions string) string {
		return fmt.Sprintf(`{"apiVersion":"pintle.dev/v1alpha1","kind":"Plugin","metadata":{"name":%q},"spec":{"host":%q,"digest":"sha256:%s","permissions":[%s]}}`,
			name, host, strings.Repeat("0", 64), permissions)
	}
	all := `{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}`
	return []attempt{
		{who: "author", what: "load a plugin without permissions", method: "POST", path: plugins, body: with("modest", "wasm", ""), code: 201},
		{who: "author", what: "load a plugin that may do everything", method: "POST", path: plugins, body: with("greedy", "wasm", all), code: 403, reason: forbidden},
		{who: "author", what: "load a plugin as a process", method: "POST", path: plugins, body: with("beside", "process", ""), code: 403, reason: forbidden},
		{who: "author", what: "take over a plugin's permissions", method: "PATCH", path: plugins + "/garbage-collector",
			body: `{"spec":{"digest":"sha256:` + strings.Repeat("0", 64) + `"}}`, code: 403, reason: forbidden},
		{who: "plugin", what: "read Secrets as a client", method: "GET", path: "/api/v1/secrets", code: 403, reason: forbidden},
		{who: "plugin", what: "write pods as a client", method: "POST", path: tenant + "/pods", body: podOn("", "x", "web"), code: 403, reason: forbidden},
		{who: "plugin", what: "the plugins", method: "GET", path: plugins, code: 403, reason: forbidden},
		{who: "author", what: "the plugins", method: "GET", path: plugins, code: 200},
		{who: "author", what: "try one that reads Secrets", method: "POST", path: plugins + "?dryRun=All", body: pluginOf("thief", "wasm", reads("secrets")), code: 403, reason: forbidden},
		{who: "author", what: "load one that reads what he reads", method: "POST", path: plugins + "?dryRun=All", body: pluginOf("mirror", "wasm", `,"permissions":[{"apiGroups":["pintle.dev"],"resources":["plugins"],"verbs":["get","list","watch"]}]`), code: 201},
		{who: "author", what: "make a built-in a process", method: "PATCH", path: plugins + "/replicaset", body: `{"spec":{"host":"process"}}`, code: 403, reason: forbidden},
		{who: "author", what: "give a built-in more", method: "PATCH", path: plugins + "/replicaset", body: `{"spec":{"permissions":[{"apiGroups":["*"],"resources":["*"],"verbs":["*"]}]}}`, code: 403, reason: forbidden},
		{who: "author", what: "put his module in a built-in's place", method: "PATCH", path: plugins + "/replicaset", body: `{"spec":{"digest":"sha256:` + strings.Repeat("0", 64) + `"}}`, code: 403, reason: forbidden},
	}
}

func tokenRows(t *testing.T, p *controlPlane) []attempt {
	who := func(name string, code int, reason string) attempt {
		return attempt{who: name, what: "who am I", method: "POST", path: self, body: review("SelfSubjectReview", ""), code: code, reason: reason}
	}
	return []attempt{
		who("account", 201, ""),
		who("account of a deleted pod", 401, unauthorized),
		who("deleted account", 401, unauthorized),
		who("token for others", 401, unauthorized),
		who("forger", 401, unauthorized),
		{who: "account", what: "the issuer's keys", method: "GET", path: "/openid/v1/jwks", code: 200},
		{who: "account", what: "its namespace's Secrets", method: "GET", path: tenant + "/secrets", code: 403, reason: forbidden},
		{who: "account", what: "a token of itself", method: "POST", path: tenant + "/serviceaccounts/web/token", body: `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`, code: 403, reason: forbidden},
		{who: "admin", what: "review a token for others", method: "POST", path: "/apis/authentication.k8s.io/v1/tokenreviews", code: 201, says: `"status":{"user":{},"error":`,
			body: review("TokenReview", `"token":"`+strings.TrimPrefix(p.actors["token for others"].header["Authorization"], "Bearer ")+`"`)},
	}
}

// imageRows: whoever reaches the registry pulls; pushing takes a token for it,
// of somebody with the verb push.
func imageRows(t *testing.T, p *controlPlane) []attempt {
	at := "http://" + p.registry + "/v2/"
	p.bearer("pusher without the verb", p.token(t, "tenant", "web", `{"audiences":["images.pintle.dev"]}`))
	p.bearer("token for the API", p.token(t, "tenant", "web", "{}"))
	const v1 = "library/demo/manifests/v1"
	rows := []attempt{
		{who: "anonymous", what: "pull", method: "GET", path: at + v1, code: 200},
		{who: "anonymous", what: "list", method: "GET", path: "http://" + p.registry + "/pintle/images", code: 200},
	}
	for _, x := range []struct {
		who  string
		code int
	}{{"anonymous", 401}, {"token for the API", 401}, {"token for others", 401}, {"pusher without the verb", 401}} {
		rows = append(rows,
			attempt{who: x.who, what: "push a blob", method: "POST", path: at + "library/demo/blobs/uploads/", code: x.code},
			attempt{who: x.who, what: "push a manifest", method: "PUT", path: at + v1, body: "{}", code: x.code},
			attempt{who: x.who, what: "delete an image", method: "DELETE", path: at + v1, code: x.code})
	}
	return append(rows,
		attempt{who: "pusher without the verb", what: "who am I, at the API", method: "POST", path: self, body: review("SelfSubjectReview", ""), code: 401, reason: unauthorized})
}

// listensOnly: the server listens where it was told to, and nowhere else; its
// etcd has no socket that a local process could speak to.
func (p *controlPlane) listensOnly(t *testing.T) {
	api := strings.TrimPrefix(p.url, "https://")
	_, port, err := net.SplitHostPort(api)
	if err != nil {
		t.Fatal(err)
	}
	// Pods reach the API at an address of the machine's own.
	want := []string{api, "198.51.100.10:" + port, p.registry}
	slices.Sort(want)
	got := listeners(t, p.pid)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("the server listens at %v, want %v", got, want)
	}
}

// listeners are the TCP addresses and UNIX sockets at which a process listens.
func listeners(t *testing.T, pid int) []string {
	t.Helper()
	mine := map[string]bool{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(fds) == 0 {
		t.Fatalf("descriptors of %d: %v", pid, err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil {
			if inode, ok := strings.CutPrefix(to, "socket:["); ok {
				mine[strings.TrimSuffix(inode, "]")] = true
			}
		}
	}
	var out []string
	for _, line := range table(t, pid, "tcp") {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine[f[9]] {
			var ip [4]byte
			var port int
			if _, err := fmt.Sscanf(f[1], "%02X%02X%02X%02X:%04X", &ip[3], &ip[2], &ip[1], &ip[0], &port); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			out = append(out, fmt.Sprintf("%s:%d", net.IP(ip[:]), port))
		}
	}
	for _, line := range table(t, pid, "tcp6") {
		if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" && mine[f[9]] {
			out = append(out, "tcp6 "+f[1])
		}
	}
	for _, line := range table(t, pid, "unix") {
		// Flags 00010000 are those of a socket that accepts connections.
		if f := strings.Fields(line); len(f) > 7 && f[3] == "00010000" && mine[f[6]] {
			out = append(out, "unix "+f[7])
		}
	}
	return out
}

func table(t *testing.T, pid int, name string) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(b), "\n")[1:]
}

// keepsSecrets: nobody but its owner reads keys, data or the kubeconfig, and
// nobody else writes anything.
func keepsSecrets(t *testing.T, dir string) {
	t.Helper()
	secret := []string{"pki", "etcd", "plugins", "admin.kubeconfig", "pintle.log"}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil || info.Mode()&fs.ModeSymlink != 0 {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		top, _, _ := strings.Cut(rel, "/")
		mode := info.Mode().Perm()
		if rel == "node" {
			return fs.SkipDir // pods' volumes: theirs to write
		}
		if mode&0o022 != 0 && info.Mode()&fs.ModeSticky == 0 {
			t.Errorf("%s: mode %o, others may write", rel, mode)
		}
		if slices.Contains(secret, top) && rel == top && mode&0o077 != 0 {
			t.Errorf("%s: mode %o, others may read", rel, mode)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
