package e2e

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// testPodCertificates does what docs/pod-certificates.md says: a pod waits for
// its certificate and gets it. What another one is denied it is told.
func testPodCertificates(t *testing.T, c *cluster) {
	page, err := os.ReadFile("../../docs/pod-certificates.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)\n```sh\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) != 2 {
		t.Fatalf("%d blocks of commands in docs/pod-certificates.md, want two", len(blocks))
	}
	dir := t.TempDir()
	commands := func(i int) string {
		t.Helper()
		out, err := run(t.Context(), []string{"KUBECONFIG=" + c.kubeconfig, "PATH=" + filepath.Dir(c.bin) + ":" + os.Getenv("PATH")}, "", "sh", "-ec", "cd "+dir+"\n"+blocks[i][1])
		if err != nil {
			t.Fatalf("%v\n%s\n%s", err, blocks[i][1], out)
		}
		return out
	}
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod", "certified", "denied", "--ignore-not-found", "--grace-period=1")
	})
	told := func(pod, reason, text string) {
		t.Helper()
		eventually(t, 60*time.Second, "an event tells pod "+pod, func() error {
			out := c.kubectl(t, "get", "events", "--field-selector=involvedObject.name="+pod+",reason="+reason, "-o", "jsonpath={.items[*].message}")
			if !regexp.MustCompile(text).MatchString(out) {
				return fmt.Errorf("events: %q", out)
			}
			return nil
		})
	}
	commands(0)
	told("certified", "FailedMount", `MountVolume.SetUp failed for volume "tls" : credential bundle is not issued yet: PodCertificateRequest default/req-\w+ waits for the signer example.com/internal`)
	out := commands(1)
	_, bundle, _ := strings.Cut(out, "condition met\n")
	if pair, err := tls.X509KeyPair([]byte(bundle), []byte(bundle)); err != nil || !slices.Equal(pair.Leaf.DNSNames, []string{"certified.example.com"}) {
		t.Errorf("the pod reads: %v\n%s", err, out)
	}

	pod := c.kubectl(t, "get", "pod", "certified", "-o", "jsonpath={.spec.volumes[?(@.name=='tls')]}")
	c.kubectlIn(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "denied"}, "spec": {"volumes": [`+pod+`],
		"containers": [{"name": "app", "image": "busybox:1", "command": ["/bin/sleep", "3600"], "volumeMounts": [{"name": "tls", "mountPath": "/tls"}]}]}}`, "apply", "-f", "-")
	var request string
	eventually(t, 60*time.Second, "a request for the other pod", func() error {
		request = c.get(t, "podcertificaterequests --field-selector=spec.podName=denied", "{.items[*].metadata.name}")
		if request == "" {
			return fmt.Errorf("none")
		}
		return nil
	})
	c.kubectl(t, "patch", "podcertificaterequest", request, "--subresource=status", "--type=merge", "-p",
		"status: {conditions: [{type: Denied, status: 'True', reason: Policy, message: not you, lastTransitionTime: '"+time.Now().UTC().Format(time.RFC3339)+"'}]}")
	told("denied", "Denied", `PodCertificateRequest default/req-\w+ was denied, reason="Policy", message="not you"`)
	told("denied", "FailedMount", `MountVolume.SetUp failed for volume "tls" : PodCertificateRequest was permanently denied: reason="Policy" message="not you"`)
}
