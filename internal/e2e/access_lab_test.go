package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

const (
	labServer = "https://172.31.77.1:6443"
	labNode1  = "172.31.77.11"
	labNode2  = "172.31.77.12"
)

// testAccess: what nodes answer to strangers, tenants and each other, and what
// their certificates are good for.
func testAccess(t *testing.T, c *cluster) {
	p := &controlPlane{cluster: c, actors: map[string]*actor{}}
	p.meet(t)
	tenantCert := writePair(t, p.person(t, "lab-tenant", "tenants"))
	t.Cleanup(func() { c.kubectl(t, "delete", "csr", "person-lab-tenant") })
	pki := func(node, file string) string { return filepath.Join(c.dir, node, "pki", file) }
	client, serving, ca := pki("node1", "client.pem"), pki("node1", "serving.pem"), pki("node1", "ca.pem")
	agent := func(ip, path string) string { return "https://" + ip + ":10250" + path }
	const exec, runs = "/exec/kube-system/x/c?command=id&output=1", "/run/kube-system/x/c?cmd=id"

	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHO\tTRIES\tIS ANSWERED")
	type row struct {
		who, what string
		curl      []string
		want      string // the status code; "000" when the connection is refused in its handshake
	}
	rows := []row{
		{"a client of the API", "take a node's certificate for the API server's", []string{"--cacert", ca, agent(labNode1, "/healthz")}, "000"},
		{"a node with its serving certificate", "GET /api", []string{"-k", "--cert", serving, labServer + "/api"}, "401"},
		{"a node with its serving certificate", "another agent's pods", []string{"-k", "--cert", serving, agent(labNode2, "/pods")}, "000"},
	}
	for _, path := range []string{"/healthz", "/pods", "/runningpods/", "/metrics", "/metrics/resource", "/stats/summary", "/debug/pprof/", "/containerLogs/kube-system/x/c", exec, runs, "/portForward/kube-system/x"} {
		rows = append(rows,
			row{"anonymous", "an agent's " + path, []string{"-k", agent(labNode1, path)}, "401"},
			row{"a tenant", "an agent's " + path, []string{"-k", "--cert", tenantCert, agent(labNode1, path)}, "403"},
			row{"a node", "its own agent's " + path, []string{"-k", "--cert", client, agent(labNode1, path)}, "403"},
			row{"a node", "another agent's " + path, []string{"-k", "--cert", client, agent(labNode2, path)}, "403"})
	}
	c.kubectl(t, "create", "serviceaccount", "monitor")
	c.kubectl(t, "create", "clusterrole", "test-monitor", "--verb=get", "--resource=nodes/metrics")
	c.kubectl(t, "create", "clusterrolebinding", "test-monitor", "--clusterrole=test-monitor", "--serviceaccount=default:monitor")
	t.Cleanup(func() {
		c.kubectl(t, "delete", "serviceaccount/monitor", "clusterrole/test-monitor", "clusterrolebinding/test-monitor")
	})
	bearer := filepath.Join(t.TempDir(), "header")
	if err := os.WriteFile(bearer, []byte("Authorization: Bearer "+c.kubectl(t, "create", "token", "monitor")), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"/metrics": "200", "/metrics/resource": "200", "/stats/summary": "403", "/pods": "403", "/debug/pprof/": "403", exec: "403"} {
		rows = append(rows, row{"monitoring, with nodes/metrics", "an agent's " + path, []string{"-k", "-H", "@" + bearer, agent(labNode1, path)}, want})
	}
	for _, r := range rows {
		got := curlCode(t, c, r.curl...)
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.who, r.what, got)
		if got != r.want {
			t.Errorf("%s: %s: got %s, want %s", r.who, r.what, got, r.want)
		}
	}
	_ = w.Flush()
	t.Logf("\n%s", out.String())

	if ps, err := run(t.Context(), nil, "", "ps", "-eo", "args"); err != nil || strings.Contains(ps, "pk1.") {
		t.Errorf("the list of processes shows a join token (%v)", err)
	}
	for _, machine := range []string{"server", "node1", "node2"} {
		keepsSecrets(t, filepath.Join(c.dir, machine))
	}
}

// curlCode is the status code of a request from outside of every node.
func curlCode(t *testing.T, c *cluster, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	out, err := c.onNode(ctx, "switch", append([]string{"curl", "-s", "-o", "/dev/null", "-m", "10", "-w", "%{http_code}"}, args...)...)
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("curl %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

// writePair writes a certificate and its key into one file, as curl takes them.
func writePair(t *testing.T, pair *tls.Certificate) string {
	t.Helper()
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pair.pem")
	b := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
