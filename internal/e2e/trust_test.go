package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testTrustBundles: a pod waits for the ClusterTrustBundle that it projects, reads
// it, and sees it change. Its names are those of docs/trust-bundles.md.
func testTrustBundles(t *testing.T, c *cluster) {
	// anchors makes an authority's certificate and the bundle of it.
	anchors := func(name string) (certificate, object string) {
		t.Helper()
		crt := filepath.Join(t.TempDir(), name+".crt")
		if out, err := run(t.Context(), nil, "", "openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN="+name, "-days", "2", "-keyout", os.DevNull, "-out", crt); err != nil {
			t.Fatalf("openssl: %v\n%s", err, out)
		}
		pem, err := os.ReadFile(crt)
		if err != nil {
			t.Fatal(err)
		}
		object = fmt.Sprintf("apiVersion: certificates.k8s.io/v1\nkind: ClusterTrustBundle\nmetadata: {name: 'example.com:internal:1', labels: {trust: current}}\nspec:\n  signerName: example.com/internal\n  trustBundle: |\n    %s\n",
			strings.ReplaceAll(strings.TrimSpace(string(pem)), "\n", "\n    "))
		return strings.TrimSpace(string(pem)), object
	}
	const pod = `apiVersion: v1
kind: Pod
metadata: {name: trusting}
spec:
  containers:
  - {name: app, image: 'busybox:1', command: [/bin/sleep, "3600"], volumeMounts: [{name: trust, mountPath: /trust}]}
  volumes:
  - name: trust
    projected:
      sources:
      - clusterTrustBundle: {signerName: example.com/internal, labelSelector: {matchLabels: {trust: current}}, path: roots.pem}
      - clusterTrustBundle: {name: nobodys, optional: true, path: more.pem}
`
	c.kubectlIn(t, pod, "apply", "-f", "-")
	t.Cleanup(func() { c.kubectl(t, "delete", "pod", "trusting", "--grace-period=1") })
	eventually(t, 60*time.Second, "it says what it waits for", func() error {
		out := c.kubectl(t, "get", "events", "--field-selector=involvedObject.name=trusting,reason=FailedMount", "-o", "jsonpath={.items[*].message}")
		if !strings.Contains(out, `MountVolume.SetUp failed for volume "trust" : combination of signerName and labelSelector matched zero ClusterTrustBundles`) {
			return fmt.Errorf("events: %q", out)
		}
		return nil
	})
	eventually(t, 60*time.Second, "it waits", func() error {
		if got := c.get(t, "pod/trusting", "{.status.containerStatuses[0].state.waiting.reason}"); got != "ContainerCreating" {
			return fmt.Errorf("with %q", got)
		}
		return nil
	})
	reads := func(want string) {
		t.Helper()
		eventually(t, 60*time.Second, "the pod reads the bundle", func() error {
			out, err := c.tryKubectl(t.Context(), "", "exec", "trusting", "--", "/bin/cat", "/trust/roots.pem", "/trust/more.pem")
			if err == nil && strings.TrimSpace(out) != want {
				err = fmt.Errorf("it reads %q", out)
			}
			return err
		})
	}
	first, object := anchors("first")
	c.kubectlIn(t, object, "apply", "-f", "-")
	t.Cleanup(func() { c.kubectl(t, "delete", "clustertrustbundle", "example.com:internal:1") })
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/trusting", "--timeout=90s")
	reads(first)
	second, object := anchors("second")
	c.kubectlIn(t, object, "apply", "-f", "-")
	reads(second)
}
