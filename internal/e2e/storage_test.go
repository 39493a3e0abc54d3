package e2e

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// testStorage: what one pod writes into its claim of the default class the next one
// reads, and the directory goes with the claim.
func testStorage(t *testing.T, c *cluster) {
	nodes := strings.Fields(c.get(t, "nodes", "{.items[*].metadata.name}"))
	node := nodes[len(nodes)-1]
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod/writer", "pod/reader", "pvc/kept", "--ignore-not-found", "--grace-period=1")
	})
	c.kubectlIn(t, `{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "kept"},
		"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}`, "apply", "-f", "-")
	pod := func(name, command string) {
		c.kubectlIn(t, `{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "`+name+`"}, "spec": {"restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "`+node+`"},
			"containers": [{"name": "c", "image": "busybox:1", "command": ["/bin/sh", "-c", "`+command+`"], "volumeMounts": [{"name": "v", "mountPath": "/data"}]}],
			"volumes": [{"name": "v", "persistentVolumeClaim": {"claimName": "kept"}}]}}`, "apply", "-f", "-")
	}
	pod("writer", "echo first > /data/file")
	c.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/writer", "--timeout=90s")
	volume := c.get(t, "pvc/kept", "{.spec.volumeName}")
	path := c.get(t, "pv/"+volume, "{.spec.local.path}")
	if b, err := os.ReadFile(path + "/file"); err != nil || string(b) != "first\n" {
		t.Errorf("on the node: %q, %v", b, err)
	}
	c.kubectl(t, "delete", "pod", "writer", "--grace-period=1")
	pod("reader", "cat /data/file")
	c.kubectl(t, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/reader", "--timeout=90s")
	if out := c.kubectl(t, "logs", "reader"); out != "first\n" {
		t.Errorf("the reader says %q", out)
	}
	c.kubectl(t, "delete", "pod/reader", "pvc/kept", "--grace-period=1")
	eventually(t, 40*time.Second, "the volume goes with its claim", func() error {
		if left := c.get(t, "pv", "{.items[*].metadata.name}"); strings.Contains(left, volume) {
			return fmt.Errorf("there are %q", left)
		}
		return nil
	})
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the directory: %v", err)
	}
}
