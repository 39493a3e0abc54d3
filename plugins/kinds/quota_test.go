package kinds_test

import (
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// newQuotaed is a control plane with the rule and the controller of quotas, with the
// permissions that they ship with.
func newQuotaed(t testing.TB) *governed {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if p.Name != "resource-quota" && p.Name != "resource-quota-status" {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	})
	return g
}

type amounts map[corev1.ResourceName]string

func list(of amounts) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name, q := range of {
		out[name] = resource.MustParse(q)
	}
	return out
}

// quota makes one and waits until it counts.
func (g *governed) quota(t testing.TB, name string, spec corev1.ResourceQuotaSpec) {
	t.Helper()
	if _, err := g.CoreV1().ResourceQuotas("default").Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: spec}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.await(t, name, func(q *corev1.ResourceQuota) string {
		if len(q.Status.Hard) != len(spec.Hard) || len(q.Status.Used) != len(spec.Hard) {
			return fmt.Sprintf("status %v", q.Status)
		}
		return ""
	})
}

// await waits until a quota is as check says: "".
func (g *governed) await(t testing.TB, name string, check func(*corev1.ResourceQuota) string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		q, err := g.CoreV1().ResourceQuotas("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if last = check(q); last == "" {
			return
		}
	}
	t.Fatalf("quota %s: %s", name, last)
}

// uses waits until a quota says so of what is used.
func (g *governed) uses(t testing.TB, name string, want amounts) {
	t.Helper()
	g.await(t, name, func(q *corev1.ResourceQuota) string {
		for n, amount := range want {
			if used, ok := q.Status.Used[n]; !ok || used.Cmp(resource.MustParse(amount)) != 0 {
				return fmt.Sprintf("uses %s of %s, want %s", used.String(), n, amount)
			}
		}
		return ""
	})
}

// asking is a pod that asks for amounts.
func asking(name string, requests, limits amounts, change func(*corev1.PodSpec)) *corev1.Pod {
	return aPod(name, func(p *corev1.Pod) {
		p.Spec.Containers[0].Resources = corev1.ResourceRequirements{Requests: list(requests), Limits: list(limits)}
		if change != nil {
			change(&p.Spec)
		}
	})
}

func (g *governed) pod(t testing.TB, p *corev1.Pod) string {
	t.Helper()
	_, err := g.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{})
	return words(err)
}

const gold = "gold.storageclass.storage.k8s.io/"

// testQuota is that of upstream's conformance tests
// (test/e2e/apimachinery/resource_quota.go), as are the scenarios below.
var testQuota = amounts{"pods": "5", "services": "10", "services.nodeports": "1", "services.loadbalancers": "1", "replicationcontrollers": "10",
	"resourcequotas": "1", "cpu": "1", "memory": "500Mi", "configmaps": "10", "secrets": "10", "persistentvolumeclaims": "10", "requests.storage": "10Gi",
	"ephemeral-storage": "50Gi", gold + "persistentvolumeclaims": "10", gold + "requests.storage": "10Gi", "count/replicasets.apps": "5", "requests.example.com/dongle": "3"}

func check(t testing.TB, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// TestQuotaLives: what upstream's conformance tests call the lives of a pod, a Service,
// a ConfigMap, a Secret, a claim, a ReplicaSet and a ReplicationController, in one
// namespace.
func TestQuotaLives(t *testing.T) {
	g := newQuotaed(t)
	g.quota(t, "test-quota", corev1.ResourceQuotaSpec{Hard: list(testQuota)})
	g.uses(t, "test-quota", amounts{"resourcequotas": "1", "pods": "0", "cpu": "0"})
	for _, life := range []struct {
		name string
		run  func(*testing.T, *governed)
	}{{"pod", podLife}, {"service", serviceLife}, {"objects", objectLives}, {"claim", claimLife}} {
		t.Run(life.name, func(t *testing.T) { life.run(t, g) })
	}
}

func podLife(t *testing.T, g *governed) {
	check(t, "a pod that says nothing", g.pod(t, aPod("none", nil)), `403 Forbidden pods "none" is forbidden: failed quota: test-quota: must specify cpu for: c; memory for: c`)
	check(t, "a pod", g.pod(t, asking("p", amounts{"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}, amounts{"example.com/dongle": "2"}, nil)), "ok")
	used := amounts{"pods": "1", "cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", "requests.example.com/dongle": "2"}
	g.uses(t, "test-quota", used)
	check(t, "too much cpu", g.pod(t, asking("q", amounts{"cpu": "600m", "memory": "100Mi"}, nil, nil)),
		`403 Forbidden pods "q" is forbidden: exceeded quota: test-quota, requested: cpu=600m, used: cpu=500m, limited: cpu=1`)
	check(t, "too much of two", g.pod(t, asking("q", amounts{"cpu": "500m", "memory": "100Mi", "ephemeral-storage": "30Gi", "example.com/dongle": "2"}, amounts{"example.com/dongle": "2"}, nil)),
		`403 Forbidden pods "q" is forbidden: exceeded quota: test-quota, requested: ephemeral-storage=30Gi,requests.example.com/dongle=2, used: ephemeral-storage=30Gi,requests.example.com/dongle=2, limited: ephemeral-storage=50Gi,requests.example.com/dongle=3`)
	g.uses(t, "test-quota", used)
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), asking("dry", amounts{"cpu": "100m", "memory": "1Mi"}, nil, nil), dry); err != nil {
		t.Error(err)
	}
	if _, err := g.CoreV1().Pods("default").Patch(t.Context(), "p", types.MergePatchType, []byte(`{"metadata":{"labels":{"a":"b"}}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	g.uses(t, "test-quota", used)

	check(t, "another", g.pod(t, asking("ends", amounts{"cpu": "100m", "memory": "1Mi"}, nil, nil)), "ok")
	g.uses(t, "test-quota", amounts{"pods": "2", "cpu": "600m"})
	if _, err := g.CoreV1().Pods("default").Patch(t.Context(), "ends", types.MergePatchType, []byte(`{"status":{"phase":"Succeeded"}}`), metav1.PatchOptions{}, "status"); err != nil {
		t.Fatal(err)
	}
	g.uses(t, "test-quota", used) // what has ended is free
	none := int64(0)
	for _, name := range []string{"p", "ends"} {
		if err := g.CoreV1().Pods("default").Delete(t.Context(), name, metav1.DeleteOptions{GracePeriodSeconds: &none}); err != nil {
			t.Fatal(err)
		}
	}
	g.uses(t, "test-quota", amounts{"pods": "0", "cpu": "0", "memory": "0", "ephemeral-storage": "0", "requests.example.com/dongle": "0"})
}

func serviceLife(t *testing.T, g *governed) {
	services := g.CoreV1().Services("default")
	create := func(name string, kind corev1.ServiceType) string {
		_, err := services.Create(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{Type: kind, Ports: []corev1.ServicePort{{Port: 80}}}}, metav1.CreateOptions{})
		return words(err)
	}
	g.uses(t, "test-quota", amounts{"services.nodeports": "0"})
	before, err := services.List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	there := len(before.Items)
	check(t, "a Service", create("a", "ClusterIP"), "ok")
	check(t, "one with a port of nodes", create("b", "NodePort"), "ok")
	check(t, "and another", create("c", "LoadBalancer"),
		`403 Forbidden services "c" is forbidden: exceeded quota: test-quota, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1`)
	g.uses(t, "test-quota", amounts{"services": fmt.Sprint(there + 2), "services.nodeports": "1", "services.loadbalancers": "0"})
	change := func(name, kind string) string {
		_, err := services.Patch(t.Context(), name, types.MergePatchType, []byte(`{"spec":{"type":"`+kind+`"}}`), metav1.PatchOptions{})
		return words(err)
	}
	check(t, "it becomes one", change("a", "NodePort"),
		`403 Forbidden services "a" is forbidden: exceeded quota: test-quota, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1`)
	check(t, "the first is one no more", change("b", "ClusterIP"), "ok")
	g.uses(t, "test-quota", amounts{"services.nodeports": "0"})
	check(t, "now it may", change("a", "LoadBalancer"), "ok")
	g.uses(t, "test-quota", amounts{"services.nodeports": "1", "services.loadbalancers": "1"})
	for _, name := range []string{"a", "b"} {
		if err := services.Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.uses(t, "test-quota", amounts{"services": fmt.Sprint(there), "services.nodeports": "0", "services.loadbalancers": "0"})
}

func objectLives(t *testing.T, g *governed) {
	labels := map[string]string{"a": "b"}
	template := corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: aPod("p", nil).Spec}
	meta := metav1.ObjectMeta{Name: "life"}
	for name, what := range map[corev1.ResourceName]struct {
		create, remove func() error
	}{
		"configmaps": {func() error {
			_, err := g.CoreV1().ConfigMaps("default").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: meta}, metav1.CreateOptions{})
			return err
		}, func() error {
			return g.CoreV1().ConfigMaps("default").Delete(t.Context(), "life", metav1.DeleteOptions{})
		}},
		"secrets": {func() error {
			_, err := g.CoreV1().Secrets("default").Create(t.Context(), &corev1.Secret{ObjectMeta: meta}, metav1.CreateOptions{})
			return err
		}, func() error { return g.CoreV1().Secrets("default").Delete(t.Context(), "life", metav1.DeleteOptions{}) }},
		"count/replicasets.apps": {func() error {
			_, err := g.AppsV1().ReplicaSets("default").Create(t.Context(), &appsv1.ReplicaSet{ObjectMeta: meta, Spec: appsv1.ReplicaSetSpec{Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: template}}, metav1.CreateOptions{})
			return err
		}, func() error {
			return g.AppsV1().ReplicaSets("default").Delete(t.Context(), "life", metav1.DeleteOptions{})
		}},
		"replicationcontrollers": {func() error {
			_, err := g.CoreV1().ReplicationControllers("default").Create(t.Context(), &corev1.ReplicationController{ObjectMeta: meta, Spec: corev1.ReplicationControllerSpec{Template: &template}}, metav1.CreateOptions{})
			return err
		}, func() error {
			return g.CoreV1().ReplicationControllers("default").Delete(t.Context(), "life", metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationBackground)})
		}},
	} {
		q, err := g.CoreV1().ResourceQuotas("default").Get(t.Context(), "test-quota", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		before := q.Status.Used[name]
		if err := what.create(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g.uses(t, "test-quota", amounts{name: fmt.Sprint(before.Value() + 1)})
		if err := what.remove(); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		g.uses(t, "test-quota", amounts{name: before.String()})
	}
}

func claimLife(t *testing.T, g *governed) {
	claims := g.CoreV1().PersistentVolumeClaims("default")
	create := func(name, class, storage string) string {
		_, err := claims.Create(t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PersistentVolumeClaimSpec{StorageClassName: &class,
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Resources: corev1.VolumeResourceRequirements{Requests: list(amounts{"storage": storage})}}}, metav1.CreateOptions{})
		return words(err)
	}
	check(t, "a claim", create("c", "gold", "1Gi"), "ok")
	g.uses(t, "test-quota", amounts{"persistentvolumeclaims": "1", "requests.storage": "1Gi", gold + "persistentvolumeclaims": "1", gold + "requests.storage": "1Gi"})
	check(t, "too large a claim", create("d", "silver", "10Gi"),
		`403 Forbidden persistentvolumeclaims "d" is forbidden: exceeded quota: test-quota, requested: requests.storage=10Gi, used: requests.storage=1Gi, limited: requests.storage=10Gi`)
	if err := claims.Delete(t.Context(), "c", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	g.uses(t, "test-quota", amounts{"persistentvolumeclaims": "0", "requests.storage": "0", gold + "persistentvolumeclaims": "0", gold + "requests.storage": "0"})
}

// TestQuotaScopes: upstream's conformance tests of terminating and best effort scopes.
func TestQuotaScopes(t *testing.T) {
	g := newQuotaed(t)
	compute := amounts{"pods": "5", "requests.cpu": "1", "limits.cpu": "2", "requests.memory": "300Mi", "limits.memory": "500Mi"}
	for name, scope := range map[string]corev1.ResourceQuotaScope{"terminating": corev1.ResourceQuotaScopeTerminating, "lasting": corev1.ResourceQuotaScopeNotTerminating} {
		g.quota(t, name, corev1.ResourceQuotaSpec{Hard: list(compute), Scopes: []corev1.ResourceQuotaScope{scope}})
	}
	for name, scope := range map[string]corev1.ResourceQuotaScope{"careless": corev1.ResourceQuotaScopeBestEffort, "careful": corev1.ResourceQuotaScopeNotBestEffort} {
		g.quota(t, name, corev1.ResourceQuotaSpec{Hard: list(amounts{"pods": "5"}), Scopes: []corev1.ResourceQuotaScope{scope}})
	}
	g.quota(t, "urgent", corev1.ResourceQuotaSpec{Hard: list(amounts{"pods": "1"}), ScopeSelector: &corev1.ScopeSelector{MatchExpressions: []corev1.ScopedResourceSelectorRequirement{
		{ScopeName: corev1.ResourceQuotaScopePriorityClass, Operator: corev1.ScopeSelectorOpIn, Values: []string{"high"}}}}})
	requests, limits := amounts{"cpu": "500m", "memory": "200Mi"}, amounts{"cpu": "1", "memory": "400Mi"}
	deadline := int64(3600)

	check(t, "a lasting pod", g.pod(t, asking("long", requests, limits, nil)), "ok")
	used := amounts{"pods": "1", "requests.cpu": "500m", "requests.memory": "200Mi", "limits.cpu": "1", "limits.memory": "400Mi"}
	g.uses(t, "lasting", used)
	g.uses(t, "terminating", amounts{"pods": "0", "limits.cpu": "0"})
	g.uses(t, "careful", amounts{"pods": "1"})
	g.uses(t, "careless", amounts{"pods": "0"})
	check(t, "a pod with a deadline", g.pod(t, asking("short", requests, limits, func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = &deadline; s.PriorityClassName = "high" })), "ok")
	g.uses(t, "terminating", used)
	g.uses(t, "lasting", used)
	g.uses(t, "urgent", amounts{"pods": "1"})
	check(t, "one more that is urgent", g.pod(t, asking("urgent", amounts{"cpu": "1m", "memory": "1Mi"}, amounts{"cpu": "1m", "memory": "1Mi"}, func(s *corev1.PodSpec) { s.ActiveDeadlineSeconds = &deadline; s.PriorityClassName = "high" })),
		`403 Forbidden pods "urgent" is forbidden: exceeded quota: urgent, requested: pods=1, used: pods=1, limited: pods=1`)

	none := int64(0)
	if _, err := g.CoreV1().Pods("default").Patch(t.Context(), "long", types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":60}}`), metav1.PatchOptions{}); err == nil || !strings.Contains(err.Error(), "exceeded quota: terminating") {
		t.Errorf("a pod that comes into a scope that is full: %v", err)
	}
	if err := g.CoreV1().Pods("default").Delete(t.Context(), "short", metav1.DeleteOptions{GracePeriodSeconds: &none}); err != nil {
		t.Fatal(err)
	}
	g.uses(t, "terminating", amounts{"pods": "0", "requests.cpu": "0", "limits.memory": "0"})
	if _, err := g.CoreV1().Pods("default").Patch(t.Context(), "long", types.MergePatchType, []byte(`{"spec":{"activeDeadlineSeconds":60}}`), metav1.PatchOptions{}); err != nil {
		t.Error(err)
	}
	g.uses(t, "terminating", used)
	g.uses(t, "lasting", amounts{"pods": "0", "requests.cpu": "0", "limits.memory": "0"})
}

// TestQuotaIsExact: of fifty that come at once, ten are let in; and what kubectl tells.
func TestQuotaIsExact(t *testing.T) {
	g := newQuotaed(t)
	g.quota(t, "ten", corev1.ResourceQuotaSpec{Hard: list(amounts{"pods": "10", "count/pods": "100"})})
	var made atomic.Int64
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			_, err := g.CoreV1().Pods("default").Create(t.Context(), aPod(fmt.Sprint("p", i), nil), metav1.CreateOptions{})
			switch got := words(err); {
			case err == nil:
				made.Add(1)
			case !strings.HasPrefix(got, "403 Forbidden") || !strings.HasSuffix(got, "exceeded quota: ten, requested: pods=1, used: pods=10, limited: pods=10"):
				t.Error(got)
			}
		})
	}
	group.Wait()
	pods, err := g.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if made.Load() != 10 || len(pods.Items) != 10 {
		t.Errorf("%d were let in, %d are there", made.Load(), len(pods.Items))
	}
	g.uses(t, "ten", amounts{"pods": "10", "count/pods": "10"})
	out := g.kubectl(t, "describe", "quota", "ten")
	for _, line := range []string{"Name: ten", "Namespace: default", "Resource Used Hard", "count/pods 10 100", "pods 10 10"} {
		if !strings.Contains(out, line) {
			t.Errorf("kubectl describe quota does not say %q:\n%s", line, out)
		}
	}

	// A quota that grows lets in more at once; one that shrinks keeps what is there.
	for _, n := range []string{"11", "5"} {
		if _, err := g.CoreV1().ResourceQuotas("default").Patch(t.Context(), "ten", types.MergePatchType, []byte(`{"spec":{"hard":{"pods":"`+n+`"}}}`), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		g.await(t, "ten", func(q *corev1.ResourceQuota) string {
			if hard := q.Status.Hard["pods"]; hard.String() != n {
				return hard.String()
			}
			return ""
		})
		if n == "11" {
			check(t, "the eleventh", g.pod(t, aPod("eleventh", nil)), "ok")
		}
	}
	check(t, "beyond", g.pod(t, aPod("beyond", nil)), `403 Forbidden pods "beyond" is forbidden: exceeded quota: ten, requested: pods=1, used: pods=11, limited: pods=5`)
}

// TestQuotaStatus: what others write into the status is put right (upstream's "should
// apply changes to a resourcequota status").
func TestQuotaStatus(t *testing.T) {
	g := newQuotaed(t)
	hard := amounts{"cpu": "500m", "memory": "500Mi"}
	g.quota(t, "q", corev1.ResourceQuotaSpec{Hard: list(hard)})
	patched, err := g.CoreV1().ResourceQuotas("default").Patch(t.Context(), "q", types.StrategicMergePatchType, []byte(`{"status":{"hard":{"cpu":"2","memory":"2Gi"}}}`), metav1.PatchOptions{}, "status")
	if err != nil || patched.Status.Hard.Cpu().String() != "2" {
		t.Errorf("%v, %v", patched, err)
	}
	g.await(t, "q", func(q *corev1.ResourceQuota) string {
		if !maps.EqualFunc(q.Status.Hard, q.Spec.Hard, func(a, b resource.Quantity) bool { return a.Cmp(b) == 0 }) {
			return fmt.Sprint(q.Status.Hard)
		}
		return ""
	})
}

// kubectl is what it says to the administrator, without what only aligns columns.
func (g *governed) kubectl(t testing.TB, args ...string) string {
	t.Helper()
	config := filepath.Join(t.TempDir(), "kubeconfig")
	if err := clientcmd.WriteToFile(kubeconfig(g.Admin()), config); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), kerneltest.Kubectl(t), append([]string{"--kubeconfig", config, "--cache-dir", t.TempDir()}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("kubectl %s: %v\n%s", args, err, out)
	}
	lines := strings.Split(string(out), "\n")
	for i := range lines {
		lines[i] = strings.Join(strings.Fields(lines[i]), " ")
	}
	return strings.Join(lines, "\n")
}

func kubeconfig(c *rest.Config) clientcmdapi.Config {
	return clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: c.Host, CertificateAuthorityData: c.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: c.CertData, ClientKeyData: c.KeyData, Token: c.BearerToken}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u", Namespace: "default"}},
		CurrentContext: "x",
	}
}
