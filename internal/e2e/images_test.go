package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// testImages: point 3, push and pull.
func testImages(t *testing.T, c *cluster) {
	demo := c.pintle(t, "image", "list", "--registry", c.registry)
	contains(t, "image list", demo, "\ndemo:v1\n", "\ndemo:v2\n", "busybox:1\n", "pause:v1\n")
	archive := filepath.Join(t.TempDir(), "demo.tar")
	c.pintle(t, "image", "save", "demo:v1", "--registry", c.registry, "--output", archive)
	c.pintle(t, "image", "push", "shop/copy:v7", "--registry", c.registry, archive)
	// A registry's name is no part of an image's: what list prints, a pod may write.
	c.pintle(t, "image", "push", "registry.k8s.io/odd:v1", "--registry", c.registry, archive)
	contains(t, "image list", c.pintle(t, "image", "list", "--registry", c.registry), "\nodd:v1\n", "\nshop/copy:v7\n")
	t.Cleanup(func() {
		c.kubectl(t, "delete", "pod", "copy", "missing", "odd", "odd-k8s", "--ignore-not-found", "--grace-period=1")
	})
	c.kubectl(t, "run", "copy", "--image=registry.example/shop/copy:v7", "--restart=Never")
	c.kubectl(t, "run", "odd", "--image=odd:v1", "--restart=Never")
	c.kubectl(t, "run", "odd-k8s", "--image=registry.k8s.io/odd:v1", "--restart=Never")
	c.kubectl(t, "wait", "--for=condition=Ready", "pod/copy", "pod/odd", "pod/odd-k8s", "--timeout=60s")
	c.kubectl(t, "run", "missing", "--image=demo:no-such-tag", "--restart=Never")
	eventually(t, 60*time.Second, "a missing image is reported", func() error {
		got := c.get(t, "pod/missing", "{.status.containerStatuses[0].state.waiting.reason}")
		if got != "ErrImagePull" && got != "ImagePullBackOff" {
			return fmt.Errorf("waiting reason %q", got)
		}
		return nil
	})
}

// testImagePushers: who may change the registry, which every pod of the lab
// reaches.
func testImagePushers(t *testing.T, c *cluster) {
	blob := "http://" + c.registry + "/v2/demo/blobs/uploads/"
	ask := func(method, url, token string) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	token := func(args ...string) string {
		t.Helper()
		return strings.TrimSpace(c.kubectl(t, append([]string{"create", "token"}, args...)...))
	}
	for _, tc := range []struct {
		who, token string
		want       int
	}{
		{"nobody", "", http.StatusUnauthorized},
		{"an account without the right", token("default", "--audience=images.pintle.dev"), http.StatusUnauthorized},
		{"the pusher, with a token for the API", token("image-pusher", "-n", "kube-system"), http.StatusUnauthorized},
		{"the pusher", token("image-pusher", "-n", "kube-system", "--audience=images.pintle.dev"), http.StatusAccepted},
	} {
		if got := ask(http.MethodPost, blob, tc.token); got != tc.want {
			t.Errorf("%s begins a push: %d, want %d", tc.who, got, tc.want)
		}
		if tc.want == http.StatusUnauthorized {
			if got := ask(http.MethodDelete, "http://"+c.registry+"/v2/demo/manifests/v1", tc.token); got != tc.want {
				t.Errorf("%s deletes: %d, want %d", tc.who, got, tc.want)
			}
		}
	}
	t.Cleanup(func() { c.kubectl(t, "delete", "clusterrolebinding", "builder", "--ignore-not-found") })
	c.kubectl(t, "create", "clusterrolebinding", "builder", "--clusterrole=pintle:image-pusher", "--serviceaccount=default:default")
	mine := token("default", "--audience=images.pintle.dev")
	eventually(t, 10*time.Second, "an account that was given the role pushes", func() error {
		return want(ask(http.MethodPost, blob, mine), http.StatusAccepted)
	})
	archive, secret := filepath.Join(t.TempDir(), "demo.tar"), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte(mine+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.pintle(t, "image", "save", "demo:v1", "--registry", c.registry, "--output", archive)
	c.pintle(t, "image", "push", "gone:v1", "--registry", c.registry, "--token-file", secret, archive)
	contains(t, "image delete", c.pintle(t, "image", "delete", "gone:v1", "--registry", c.registry), "gone:v1 deleted")
	if out := c.pintle(t, "image", "list", "--registry", c.registry); strings.Contains(out, "gone") {
		t.Errorf("it is still there:\n%s", out)
	}
	none := *c
	none.kubeconfig = filepath.Join(t.TempDir(), "none")
	out, err := none.tryPintle(t.Context(), "image", "push", "gone:v1", "--registry", c.registry, archive)
	if err == nil {
		t.Errorf("pushed without a cluster:\n%s", out)
	}
	contains(t, "push without a cluster", out, "--kubeconfig", "--token-file")
}
