package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"
)

// csrBody is a CertificateSigningRequest, and the key it is for.
func csrBody(t *testing.T, name, signer, usage, user string, groups ...string) (string, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: user, Organization: groups}}, key)
	if err != nil {
		t.Fatal(err)
	}
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	return fmt.Sprintf(`{"apiVersion":"certificates.k8s.io/v1","kind":"CertificateSigningRequest","metadata":{"name":%q},
		"spec":{"request":%q,"signerName":%q,"usages":["digital signature",%q]}}`, name, b64(request), signer, usage), key
}

const (
	csrs         = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
	clientSigner = "kubernetes.io/kube-apiserver-client"
	nodeSigner   = "kubernetes.io/kube-apiserver-client-kubelet"
	approved     = `"status":{"conditions":[{"type":"Approved","status":"True","reason":"Test"}]}`
)

// csrStatus is the part of a request that the signer writes.
type csrStatus struct {
	Status struct {
		Certificate []byte
		Conditions  []struct{ Type, Message string }
	}
}

// signed waits until a request has its certificate or is refused.
func (p *controlPlane) signed(t *testing.T, name string) csrStatus {
	t.Helper()
	var s csrStatus
	eventually(t, 20*time.Second, "request "+name+" is answered", func() error {
		s = csrStatus{}
		p.must(t, "GET", csrs+"/"+name, "", &s)
		for _, c := range s.Status.Conditions {
			if c.Type != "Approved" {
				return nil
			}
		}
		if len(s.Status.Certificate) == 0 {
			return fmt.Errorf("%+v", s.Status.Conditions)
		}
		return nil
	})
	return s
}

// person makes an actor with a client certificate, as an administrator would.
func (p *controlPlane) person(t *testing.T, name string, groups ...string) *tls.Certificate {
	t.Helper()
	body, key := csrBody(t, "person-"+name, clientSigner, "client auth", name, groups...)
	p.must(t, "POST", csrs, body, nil)
	p.must(t, "PATCH", csrs+"/person-"+name+"/approval", "{"+approved+"}", nil)
	pair := pairOf(t, p.signed(t, "person-"+name).Status.Certificate, key)
	p.enter(name, pair, nil)
	return pair
}

func pairOf(t *testing.T, certificate []byte, key *ecdsa.PrivateKey) *tls.Certificate {
	t.Helper()
	b, _ := pem.Decode(certificate)
	if b == nil {
		t.Fatal("no certificate")
	}
	return &tls.Certificate{Certificate: [][]byte{b.Bytes}, PrivateKey: key}
}

// node makes an actor with a node's identity, by a join token as a node does,
// and registers the node.
func (p *controlPlane) node(t *testing.T, name string) {
	t.Helper()
	tok := strings.Split(strings.TrimSpace(p.pintle(t, "token", "create", "--print-token")), ".")
	p.bearer("joiner", tok[1]+"."+tok[2])
	body, key := csrBody(t, "join-"+name, nodeSigner, "client auth", "system:node:"+name, "system:nodes")
	p.asks(t, "joiner", "POST", csrs, body)
	p.enter("node", pairOf(t, p.signed(t, "join-"+name).Status.Certificate, key), nil)
	p.asks(t, "node", "POST", "/api/v1/nodes", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"`+name+`","labels":{"zone":"a"}}}`)
	// Its agent would be at a port where nobody is.
	p.asks(t, "node", "PATCH", "/api/v1/nodes/"+name+"/status",
		`{"status":{"addresses":[{"type":"InternalIP","address":"127.0.0.1"}],"daemonEndpoints":{"kubeletEndpoint":{"Port":1}}}}`)
}

func (p *controlPlane) asks(t *testing.T, who, method, path, body string) []byte {
	t.Helper()
	got, err := p.ask(t.Context(), attempt{who: who, method: method, path: path, body: body})
	if err != nil || got.code >= 300 {
		t.Fatalf("%s: %s %s: %v %s %s", who, method, path, err, got, got.message)
	}
	return got.body
}

// grant binds a user to a role of its own; namespace "" is the whole cluster.
func (p *controlPlane) grant(t *testing.T, user, namespace, rules string) {
	t.Helper()
	const group = "/apis/rbac.authorization.k8s.io/v1"
	p.must(t, "POST", group+"/clusterroles", `{"apiVersion":"rbac.authorization.k8s.io/v1","kind":"ClusterRole","metadata":{"name":"test-`+user+`"},"rules":`+rules+`}`, nil)
	p.bind(t, user, namespace, "test-"+user)
}

func (p *controlPlane) bind(t *testing.T, user, namespace, role string) {
	t.Helper()
	const group = "/apis/rbac.authorization.k8s.io/v1"
	kind, path := "ClusterRoleBinding", group+"/clusterrolebindings"
	if namespace != "" {
		kind, path = "RoleBinding", group+"/namespaces/"+namespace+"/rolebindings"
	}
	p.must(t, "POST", path, fmt.Sprintf(`{"apiVersion":"rbac.authorization.k8s.io/v1","kind":%q,"metadata":{"name":"test-%s"},
		"roleRef":{"apiGroup":"rbac.authorization.k8s.io","kind":"ClusterRole","name":%q},"subjects":[{"kind":"User","apiGroup":"rbac.authorization.k8s.io","name":%q}]}`, kind, user, role, user), nil)
}

// podOn is a pod's manifest on a node, with a Secret of its name and tokens for
// the API and for vault.example.
func podOn(node, name, account string) string {
	return fmt.Sprintf(`{"apiVersion":"v1","kind":"Pod","metadata":{"name":%q},"spec":{"nodeName":%q,"serviceAccountName":%q,"automountServiceAccountToken":false,
		"containers":[{"name":"c","image":"demo:v1"}],"volumes":[{"name":"v","secret":{"secretName":%q}},
		{"name":"t","projected":{"sources":[{"serviceAccountToken":{"path":"api"}},{"serviceAccountToken":{"path":"vault","audience":"vault.example"}}]}}]}}`, name, node, account, name)
}

// uid reads an object's UID.
func (p *controlPlane) uid(t *testing.T, path string) string {
	t.Helper()
	var o struct{ Metadata struct{ UID string } }
	p.must(t, "GET", path, "", &o)
	return o.Metadata.UID
}

// populate makes the tenants, the nodes and what is theirs.
func (p *controlPlane) populate(t *testing.T) {
	t.Helper()
	for _, ns := range []string{"tenant", "other"} {
		p.must(t, "POST", "/api/v1/namespaces", `{"apiVersion":"v1","kind":"Namespace","metadata":{"name":"`+ns+`"}}`, nil)
		for _, account := range []string{"web", "gone"} {
			p.must(t, "POST", "/api/v1/namespaces/"+ns+"/serviceaccounts", `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"`+account+`"}}`, nil)
		}
		for _, name := range []string{"mine", "theirs", "short"} {
			p.must(t, "POST", "/api/v1/namespaces/"+ns+"/secrets", `{"apiVersion":"v1","kind":"Secret","metadata":{"name":"`+name+`"},"stringData":{"k":"v"}}`, nil)
		}
	}
	p.person(t, "nobody", "tenants")
	p.person(t, "editor", "tenants")
	p.bind(t, "editor", "tenant", "edit")
	p.person(t, "owner", "tenants")
	p.bind(t, "owner", "tenant", "admin")
	p.person(t, "viewer", "tenants")
	p.grant(t, "viewer", "", `[{"apiGroups":[""],"resources":["pods/exec","pods/attach","pods/portforward","nodes/proxy"],"verbs":["get"]}]`)
	p.person(t, "clerk", "tenants")
	p.grant(t, "clerk", "", `[{"apiGroups":["certificates.k8s.io"],"resources":["certificatesigningrequests","certificatesigningrequests/approval","certificatesigningrequests/status"],"verbs":["*"]}]`)
	p.person(t, "author", "tenants")
	p.grant(t, "author", "", `[{"apiGroups":["pintle.dev"],"resources":["plugins","pluginmodules"],"verbs":["get","list","watch","create","update","patch","delete"]}]`)

	p.must(t, "POST", "/api/v1/nodes", `{"apiVersion":"v1","kind":"Node","metadata":{"name":"n2"}}`, nil)
	p.must(t, "PATCH", "/api/v1/nodes/n2/status", `{"status":{"addresses":[{"type":"InternalIP","address":"192.0.2.12"}]}}`, nil)
	p.node(t, "n1")
	for name, node := range map[string]string{"mine": "n1", "short": "n1", "theirs": "n2"} {
		p.must(t, "POST", "/api/v1/namespaces/tenant/pods", podOn(node, name, "web"), nil)
	}
	// A plugin has no credentials outside of the server; this is its identity.
	admin := p.actors["admin"]
	p.actors["plugin"] = &actor{client: admin.client, header: map[string]string{"Impersonate-User": "system:pintle:plugin:welcome", "Impersonate-Group": "system:pintle:plugins"}}

	bound := func(pod string) string {
		return fmt.Sprintf(`{"boundObjectRef":{"apiVersion":"v1","kind":"Pod","name":%q,"uid":%q}}`, pod, p.uid(t, "/api/v1/namespaces/tenant/pods/"+pod))
	}
	p.bearer("account", p.token(t, "tenant", "web", bound("mine")))
	p.bearer("account of a deleted pod", p.token(t, "tenant", "web", bound("short")))
	p.bearer("deleted account", p.token(t, "tenant", "gone", "{}"))
	p.bearer("token for others", p.token(t, "tenant", "web", `{"audiences":["vault.example"]}`))
	p.bearer("forger", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJzeXN0ZW06YWRtaW4ifQ.")
	p.must(t, "DELETE", "/api/v1/namespaces/tenant/pods/short", `{"gracePeriodSeconds":0}`, nil)
	p.must(t, "DELETE", "/api/v1/namespaces/tenant/serviceaccounts/gone", "", nil)
}
