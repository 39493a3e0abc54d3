package kerneltest_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apiserver/pkg/server/options/encryptionconfig/controller"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/store"
	"github.com/pintle-io/pintle/kernel/store/encrypted"
	"github.com/pintle-io/pintle/kernel/store/encrypted/kmstest"
	"github.com/pintle-io/pintle/kernel/store/memory"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// sealed is a cluster whose servers come and go over one store and one directory.
type sealed struct {
	t       *testing.T
	raw     store.Store
	dir     string
	file    string // the EncryptionConfiguration
	reload  bool
	program string // kubectl
	*kerneltest.Server
}

func newSealed(t *testing.T) *sealed {
	return &sealed{t: t, raw: memory.New(), dir: t.TempDir(), file: filepath.Join(t.TempDir(), "encryption.yaml"), program: kerneltest.Kubectl(t)}
}

// configure writes the configuration for these resources.
func (c *sealed) configure(resources string, providers ...string) {
	c.t.Helper()
	text := "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n- resources: " + resources + "\n  providers:\n  - " + strings.Join(providers, "\n  - ") + "\n"
	next := c.file + ".next"
	must(c.t, os.WriteFile(next, []byte(text), 0o600))
	must(c.t, os.Rename(next, c.file))
}

// restart starts a server in place of the one before.
func (c *sealed) restart() {
	c.t.Helper()
	if c.Server != nil {
		c.Stop()
	}
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	must(c.t, err)
	c.Server = kerneltest.Start(c.t, kerneltest.Options{Table: table, Store: c.raw, Dir: c.dir, Config: func(k *kernel.Config) {
		k.Encryption = encrypted.Config{File: c.file, Reload: c.reload}
	}})
}

// kubectl runs kubectl as the administrator and answers what it printed.
func (c *sealed) kubectl(stdin string, args ...string) (string, error) {
	c.t.Helper()
	config := filepath.Join(c.t.TempDir(), "kubeconfig")
	must(c.t, c.PKI.WriteKubeconfig(config, c.URL, "admin", c.PKI.Admin()))
	cmd := exec.CommandContext(c.t.Context(), c.program, append([]string{"--kubeconfig", config}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (c *sealed) mustKubectl(stdin string, args ...string) string {
	c.t.Helper()
	out, err := c.kubectl(stdin, args...)
	if err != nil {
		c.t.Fatalf("kubectl %v: %v\n%s", args, err, out)
	}
	return out
}

// stored wants the value of a key to begin with a prefix; encrypted ones hide the
// secret.
func (c *sealed) stored(key, prefix string) {
	c.t.Helper()
	kv, ok, _, err := c.raw.Get(c.t.Context(), key)
	must(c.t, err)
	if !ok || !bytes.HasPrefix(kv.Value, []byte(prefix)) {
		c.t.Errorf("%s: there %v, is %.40q, want it to begin with %q", key, ok, kv.Value, prefix)
	}
	if hidden := strings.HasPrefix(prefix, "k8s:enc:"); ok && bytes.Contains(kv.Value, []byte("hunter2")) == hidden {
		c.t.Errorf("%s: hidden is %v, want %v", key, !hidden, hidden)
	}
}

func aesKey(provider string, names ...string) string {
	keys := make([]string, len(names))
	for i, n := range names {
		keys[i] = fmt.Sprintf("{name: %s, secret: %s}", n, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte(n)[:1], 32)))
	}
	return provider + ": {keys: [" + strings.Join(keys, ", ") + "]}"
}

const widgets = `{"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.shop.example"}, "spec": {
"group": "shop.example", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
"versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}}`

// A cluster begins without encryption, takes it up, moves to another key and leaves
// encryption again, by the documented steps; custom kinds go along.
func TestEncryptionRotation(t *testing.T) {
	c := newSealed(t)
	const secret, other = "/registry/secrets/default/a", "/registry/secrets/default/b"
	const widget = "/registry/shop.example/widgets/default/w"
	const chosen = "[secrets, '*.shop.example']"
	c.configure("[leases.coordination.k8s.io]", "identity: {}")
	c.restart()
	c.mustKubectl("", "create", "secret", "generic", "a", "--from-literal=password=hunter2")
	c.mustKubectl("", "create", "configmap", "plain", "--from-literal=password=hunter2")
	c.mustKubectl(widgets, "create", "-f", "-")
	c.mustKubectl("", "wait", "--for=condition=Established", "crd/widgets.shop.example")
	c.mustKubectl(`{"apiVersion": "shop.example/v1", "kind": "Widget", "metadata": {"name": "w", "namespace": "default"}, "password": "hunter2"}`, "create", "-f", "-")
	c.stored(secret, "k8s\x00")
	c.stored(widget, "{")
	for _, step := range []struct {
		prefix, widget string
		providers      []string
	}{
		{"k8s:enc:aescbc:v1:a:", "k8s:enc:aescbc:v1:a:", []string{aesKey("aescbc", "a"), "identity: {}"}},
		{"k8s:enc:secretbox:v1:b:", "k8s:enc:secretbox:v1:b:", []string{aesKey("secretbox", "b"), aesKey("aescbc", "a")}},
		{"k8s\x00", "{", []string{"identity: {}", aesKey("secretbox", "b")}},
	} {
		c.configure(chosen, step.providers...)
		c.restart()
		c.mustKubectl("", "create", "secret", "generic", "b", "--from-literal=password=hunter2")
		c.stored(other, step.prefix)
		// The documented procedure: everything is written again as it is.
		for _, kind := range []string{"secrets", "widgets.shop.example"} {
			c.mustKubectl(c.mustKubectl("", "get", kind, "-A", "-o", "json"), "replace", "-f", "-")
		}
		c.stored(secret, step.prefix)
		c.stored(widget, step.widget)
		c.stored("/registry/configmaps/default/plain", "k8s\x00")
		before, _ := c.raw.Revision(t.Context())
		c.mustKubectl(c.mustKubectl("", "get", "secret", "a", "-o", "json"), "replace", "-f", "-")
		if kv, _, _, err := c.raw.Get(t.Context(), secret); err != nil || kv.ModRevision > before {
			t.Errorf("%q: what is not stale was written again: %v", step.prefix, err)
		}
		c.mustKubectl("", "delete", "secret", "b")
	}
}

// A secret whose key is not there is an error of its own: its reads and lists fail and
// say why, its namespace's neighbours and other kinds are served, watches that were open
// end and go on, and once the key is there, without a restart, all is well.
func TestEncryptionUnreadable(t *testing.T) {
	controller.EncryptionConfigFileChangePollDuration = 100 * time.Millisecond
	c := newSealed(t)
	c.reload = true
	c.configure("[secrets]", aesKey("aesgcm", "a"))
	c.restart()
	c.mustKubectl("", "create", "namespace", "elsewhere")
	c.mustKubectl("", "create", "secret", "generic", "a", "--from-literal=password=hunter2")
	c.configure("[secrets]", aesKey("aesgcm", "b"))
	c.restart()
	client := kerneltest.Client(t, c.Admin()).CoreV1()
	refused := func(what string, err error) {
		t.Helper()
		if !apierrors.IsInternalError(err) || !strings.Contains(err.Error(), `unable to transform key "/registry/secrets/default/a"`) || !strings.Contains(err.Error(), "EncryptionConfiguration") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err := client.Secrets("default").Get(t.Context(), "a", metav1.GetOptions{})
	refused("get", err)
	_, err = client.Secrets("").List(t.Context(), metav1.ListOptions{})
	refused("list", err)
	_, err = client.Secrets("default").List(t.Context(), metav1.ListOptions{ResourceVersion: "0"})
	refused("list of what the cache has", err)
	_, err = client.Secrets("default").Watch(t.Context(), metav1.ListOptions{})
	refused("watch that begins with a list", err)
	refused("delete", client.Secrets("default").Delete(t.Context(), "a", metav1.DeleteOptions{}))
	_, err = client.Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, metav1.CreateOptions{})
	if err == nil {
		t.Error("created over a secret that cannot be read")
	}
	_, err = client.Secrets("elsewhere").Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "b"}}, metav1.CreateOptions{})
	must(t, err)
	l, err := client.Secrets("elsewhere").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(l.Items) != 1 {
		t.Errorf("another namespace: %v %v", l, err)
	}
	_, err = client.ConfigMaps("").List(t.Context(), metav1.ListOptions{})
	must(t, err)
	w, err := client.Secrets("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: l.ResourceVersion})
	must(t, err)
	c.configure("[secrets]", aesKey("aesgcm", "b", "a"))
	for e := range w.ResultChan() { // it ends when there is more than it could tell
		t.Logf("watch: %v", e.Type)
	}
	holds(t, func() error {
		s, err := client.Secrets("default").Get(t.Context(), "a", metav1.GetOptions{})
		if err == nil && string(s.Data["password"]) != "hunter2" {
			err = fmt.Errorf("got %v", s.Data)
		}
		return err
	})
	all, err := client.Secrets("").List(t.Context(), metav1.ListOptions{})
	if err != nil || len(all.Items) < 2 {
		t.Errorf("%v %v", all, err)
	}
	// A broken file is refused, and what it said before goes on.
	must(t, os.WriteFile(c.file, []byte("nonsense"), 0o600))
	holds(t, func() error {
		if m := c.get("/metrics"); !strings.Contains(m, `apiserver_encryption_config_controller_automatic_reloads_total{`) || !strings.Contains(m, `status="failure"`) {
			return fmt.Errorf("the failure is not counted")
		}
		return nil
	})
	c.mustKubectl("", "create", "secret", "generic", "c", "--from-literal=password=hunter2")
	c.stored("/registry/secrets/default/c", "k8s:enc:aesgcm:v1:b:")
}

// A key service's new key is the one of new values; when it is away, writes go on by the
// remembered key, and readiness and health say so, but not liveness.
func TestEncryptionKMS(t *testing.T) {
	plugin := kmstest.Start(t, "k1")
	c := newSealed(t)
	c.configure("[secrets]", fmt.Sprintf("kms: {apiVersion: v2, name: vault, endpoint: %q}", plugin.Endpoint))
	c.restart()
	c.mustKubectl("", "create", "secret", "generic", "a", "--from-literal=password=hunter2")
	c.stored("/registry/secrets/default/a", "k8s:enc:kms:v2:vault:")
	keyOf := func(id string) bool {
		kv, _, _, err := c.raw.Get(t.Context(), "/registry/secrets/default/a")
		must(t, err)
		return bytes.Contains(kv.Value, []byte(id))
	}
	if !keyOf("k1") {
		t.Error("not of key k1")
	}
	if got := c.get("/healthz/kms-providers"); got != "ok" {
		t.Errorf("health: %s", got)
	}
	plugin.Rotate("k2")
	// Whoever asks for health has the key service asked, every twenty seconds at most;
	// then a write of the same object is one.
	holds(t, func() error {
		c.get("/readyz/kms-providers")
		c.mustKubectl(c.mustKubectl("", "get", "secret", "a", "-o", "json"), "replace", "-f", "-")
		if !keyOf("k2") {
			return fmt.Errorf("still of key k1")
		}
		return nil
	})
	plugin.Break(fmt.Errorf("away"))
	holds(t, func() error {
		if got := c.get("/readyz/kms-providers"); !strings.Contains(got, "kms-providers failed") {
			return fmt.Errorf("readiness: %s", got)
		}
		return nil
	})
	if got := c.get("/livez/kms-providers"); !strings.Contains(got, "404") {
		t.Errorf("liveness: %s", got)
	}
	c.mustKubectl("", "create", "secret", "generic", "b", "--from-literal=password=hunter2")
	if !strings.Contains(c.mustKubectl("", "get", "secret", "b", "-o", "jsonpath={.data.password}"), "aHVudGVyMg==") {
		t.Error("b is not what was written")
	}
}

func (c *sealed) get(path string) string {
	c.t.Helper()
	resp, err := c.HTTP().Get(c.URL + path)
	must(c.t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	must(c.t, err)
	return string(body)
}

// holds asks again until there is no error.
func holds(t *testing.T, f func() error) {
	t.Helper()
	var err error
	for end := time.Now().Add(40 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err = f(); err == nil {
			return
		}
	}
	t.Fatal(err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
