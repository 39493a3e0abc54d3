package apply_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"github.com/pintle-io/pintle/cmd/pintle/internal/cli/apply"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/kinds"
)

// user runs the command against a server.
type user struct {
	*kubernetes.Clientset
	t          *testing.T
	kubeconfig string
	cache      string
}

func newUser(t *testing.T) *user {
	t.Helper()
	table, err := kinds.Table(kinds.Options{}, v1alpha1.Extend)
	must(t, err)
	s := kerneltest.Start(t, kerneltest.Options{Table: table})
	u := &user{kerneltest.Client(t, s.Admin()), t, filepath.Join(t.TempDir(), "kubeconfig"), t.TempDir()}
	must(t, s.PKI.WriteKubeconfig(u.kubeconfig, s.URL, "admin", s.PKI.Admin()))
	return u
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files writes manifests into a directory, by name.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	return dir
}

// run is one call of the command.
func (u *user) run(args ...string) (stdout, stderr string, err error) {
	u.t.Helper()
	cmd := apply.Command()
	var out, warn bytes.Buffer
	cmd.SetOut(&out)
	cmd.SetErr(&warn)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs(append([]string{"--kubeconfig", u.kubeconfig, "--cache-dir", u.cache}, args...))
	err = cmd.ExecuteContext(u.t.Context())
	return out.String(), warn.String(), err
}

// value is a ConfigMap's; "" when there is none.
func (u *user) value(name string) string {
	u.t.Helper()
	m, err := u.CoreV1().ConfigMaps("default").Get(u.t.Context(), name, metav1.GetOptions{})
	if !apierrors.IsNotFound(err) {
		must(u.t, err)
	}
	return m.Data["x"]
}

const (
	settings = "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {x: \"1\"}}\n"
	rest     = `apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: b}, data: {x: aGlkZGVu}}
- {apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRole, metadata: {name: c}, rules: []}
`
	applied = "configmap/a serverside-applied\nsecret/b serverside-applied\nclusterrole.rbac.authorization.k8s.io/c serverside-applied\n"
)

// Files are applied whole, at one revision, in kubectl's words; a dry run tells what
// would change and writes nothing.
func TestApply(t *testing.T) {
	u := newUser(t)
	dir := files(t, map[string]string{"1.yaml": settings, "sub/2.yaml": rest})
	dry := []string{"--atomic", "--dry-run=server", "-R", "-f", dir}
	out, warn, err := u.run(dry...)
	if lines := "configmap/a created (server dry run)\nsecret/b created (server dry run)\n"; err != nil || warn != "" || !strings.HasPrefix(out, lines) ||
		!strings.Contains(out, "\n+  x: \"1\"\n") || !strings.Contains(out, "\n+  x: '***'\n") || strings.Contains(out, "aGlkZGVu") || u.value("a") != "" {
		t.Errorf("%v, stderr %q, a is %q:\n%s", err, warn, u.value("a"), out)
	}
	for range 2 {
		if out, warn, err := u.run("--atomic", "-R", "-f", dir); err != nil || warn != "" || out != applied || u.value("a") != "1" {
			t.Errorf("%v, stderr %q, a is %q:\n%s", err, warn, u.value("a"), out)
		}
	}
	a, err := u.CoreV1().ConfigMaps("default").Get(t.Context(), "a", metav1.GetOptions{})
	must(t, err)
	b, err := u.CoreV1().Secrets("default").Get(t.Context(), "b", metav1.GetOptions{})
	must(t, err)
	if a.ResourceVersion != b.ResourceVersion || len(a.ManagedFields) != 1 || a.ManagedFields[0].Manager != "kubectl" || a.ManagedFields[0].Operation != metav1.ManagedFieldsOperationApply {
		t.Errorf("a at %s, b at %s, fields %+v", a.ResourceVersion, b.ResourceVersion, a.ManagedFields)
	}
	must(t, os.WriteFile(filepath.Join(dir, "1.yaml"), []byte(strings.Replace(settings, `"1"`, `"2"`, 1)), 0o600))
	out, _, err = u.run(dry...)
	if lines := "configmap/a configured (server dry run)\nsecret/b unchanged (server dry run)\n"; err != nil || !strings.HasPrefix(out, lines) ||
		!strings.Contains(out, "\n-  x: \"1\"\n+  x: \"2\"\n") || u.value("a") != "1" {
		t.Errorf("%v, a is %q:\n%s", err, u.value("a"), out)
	}
	if out, _, err := u.run(append(dry, "-o", "name")...); err != nil || out != "configmap/a\nsecret/b\nclusterrole.rbac.authorization.k8s.io/c\n" {
		t.Errorf("%v:\n%s", err, out)
	}
	out, _, err = u.run("--atomic", "-R", "-f", dir, "-o", "yaml", "--field-manager", "me", "--force-conflicts")
	if err != nil || !strings.Contains(out, "kind: List") || !strings.Contains(out, "x: \"2\"") || u.value("a") != "2" {
		t.Errorf("%v, a is %q:\n%s", err, u.value("a"), out)
	}
}

// What is read from standard input is applied, in the namespace of -n.
func TestStandardInput(t *testing.T) {
	u := newUser(t)
	_, err := u.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "other"}}, metav1.CreateOptions{})
	must(t, err)
	r, w, err := os.Pipe()
	must(t, err)
	before := os.Stdin
	os.Stdin = r // where kubectl's builder reads
	t.Cleanup(func() { os.Stdin = before; r.Close() })
	_, err = w.WriteString(settings)
	must(t, err)
	must(t, w.Close())
	if out, _, err := u.run("--atomic", "-n", "other", "-f", "-"); err != nil || out != "configmap/a serverside-applied\n" {
		t.Errorf("%v:\n%s", err, out)
	}
	if _, err := u.CoreV1().ConfigMaps("other").Get(t.Context(), "a", metav1.GetOptions{}); err != nil {
		t.Error(err)
	}
}

// Without --atomic it is kubectl apply.
func TestWithoutAtomic(t *testing.T) {
	u := newUser(t)
	dir := files(t, map[string]string{"1.yaml": settings})
	for _, want := range []string{"configmap/a created\n", "configmap/a unchanged\n"} {
		if out, _, err := u.run("-f", dir); err != nil || out != want {
			t.Errorf("%v:\n%s", err, out)
		}
	}
	// What it leaves is told by the one with --atomic, which cannot mend it.
	if out, warn, err := u.run("--atomic", "-f", dir); err != nil || out != "configmap/a serverside-applied\n" || !strings.Contains(warn, "without --server-side before") {
		t.Errorf("%v, stderr %q:\n%s", err, warn, out)
	}
}

// A Secret that was applied without --server-side has itself in an annotation, which a
// diff does not show.
func TestSecretsStayHidden(t *testing.T) {
	u := newUser(t)
	const secret = "{apiVersion: v1, kind: Secret, metadata: {name: b}, data: {x: aGlkZGVu}}\n"
	if _, _, err := u.run("-f", files(t, map[string]string{"1.yaml": secret})); err != nil {
		t.Fatal(err)
	}
	dir := files(t, map[string]string{"1.yaml": strings.Replace(secret, "aGlkZGVu", "c2VjcmV0", 1)})
	out, _, err := u.run("--atomic", "--dry-run=server", "-f", dir)
	if err != nil || !strings.HasPrefix(out, "secret/b configured (server dry run)\n") || strings.Contains(out, "aGlkZGVu") || strings.Contains(out, "c2VjcmV0") {
		t.Errorf("%v:\n%s", err, out)
	}
}

// A way to print that there is none is refused before anything is written.
func TestUnknownOutput(t *testing.T) {
	u := newUser(t)
	if _, _, err := u.run("--atomic", "-o", "bogus", "-f", files(t, map[string]string{"1.yaml": settings})); err == nil || !strings.Contains(err.Error(), "bogus") || u.value("a") != "" {
		t.Errorf("%v; a is %q", err, u.value("a"))
	}
}
