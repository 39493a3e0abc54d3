package kinds_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// newControlled is a control plane with some of the plugins that ship, with the
// permissions that they ship with, in which every pod runs at once.
func newControlled(t *testing.T, names ...string) *shop {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		c.Advertise = netip.MustParseAddrPort("192.0.2.9:6443") // one that Endpoints may have
		for _, p := range standard.Plugins {
			if !slices.Contains(names, p.Name) {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	})
	<-g.PluginsSynced()
	s := &shop{g, filepath.Join(t.TempDir(), "kubeconfig"), ""}
	if err := g.PKI.WriteKubeconfig(s.kubeconfig, g.URL, "admin", g.PKI.Admin()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	w, err := g.CoreV1().Pods("").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() { done <- s.runPods(ctx, w) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("pods: %v", err)
		}
	})
	return s
}

// runPods stands for nodes: it says of every pod that it runs and is ready.
func (s *shop) runPods(ctx context.Context, w watch.Interface) error {
	defer w.Stop()
	for e := range w.ResultChan() {
		p, ok := e.Object.(*corev1.Pod)
		if !ok || e.Type == watch.Deleted || p.Status.Phase == corev1.PodRunning {
			continue
		}
		p.Status.Phase = corev1.PodRunning
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		_, err := s.CoreV1().Pods(p.Namespace).UpdateStatus(ctx, p, metav1.UpdateOptions{})
		if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) && ctx.Err() == nil {
			return err
		}
	}
	return nil
}

// namespace makes one.
func (s *shop) namespace(t *testing.T, name string) {
	t.Helper()
	if _, err := s.CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// newRC is a ReplicationController as upstream's tests make them: without a selector.
func newRC(name string, replicas int32) *corev1.ReplicationController {
	labels := map[string]string{"name": name}
	return &corev1.ReplicationController{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"test-rc-static": "true"}},
		Spec: corev1.ReplicationControllerSpec{Replicas: &replicas, Template: &corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}
}

func (s *shop) createRC(t *testing.T, ns string, rc *corev1.ReplicationController) *corev1.ReplicationController {
	t.Helper()
	rc, err := s.CoreV1().ReplicationControllers(ns).Create(t.Context(), rc, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return rc
}

// awaitRC waits until one is as check says: "".
func (s *shop) awaitRC(t *testing.T, ns, name string, check func(*corev1.ReplicationController) string) *corev1.ReplicationController {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		rc, err := s.CoreV1().ReplicationControllers(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if last = check(rc); last == "" {
			return rc
		}
	}
	t.Fatalf("replication controller %s: %s", name, last)
	return nil
}

func ready(n int32) func(*corev1.ReplicationController) string {
	return func(rc *corev1.ReplicationController) string {
		if is := rc.Status; is.Replicas != n || is.ReadyReplicas != n || is.AvailableReplicas != n || is.FullyLabeledReplicas != n || is.ObservedGeneration != rc.Generation {
			return fmt.Sprintf("%+v, want %d of generation %d", is, n, rc.Generation)
		}
		return ""
	}
}

func failing(yes bool) func(*corev1.ReplicationController) string {
	return func(rc *corev1.ReplicationController) string {
		is := slices.ContainsFunc(rc.Status.Conditions, func(c corev1.ReplicationControllerCondition) bool {
			return c.Type == corev1.ReplicationControllerReplicaFailure && c.Status == corev1.ConditionTrue && c.Reason == "FailedCreate"
		})
		if rc.Status.ObservedGeneration != rc.Generation || is != yes {
			return fmt.Sprintf("failing %v, generation %d: %+v", is, rc.Generation, rc.Status)
		}
		return ""
	}
}

// podsOf are the pods of a namespace that are not being deleted.
func (s *shop) podsOf(t *testing.T, ns string) (out []corev1.Pod) {
	t.Helper()
	l, err := s.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(l.Items, func(p corev1.Pod) bool { return p.DeletionTimestamp != nil })
}

// TestReplicationController is what upstream's conformance tests ask of the kind:
// test/e2e/apps/rc.go, and of apimachinery/garbage_collector.go and
// kubectl/kubectl.go what is about it.
func TestReplicationController(t *testing.T) {
	s := newControlled(t, "replicationcontroller", "garbage-collector", "resource-quota", "resource-quota-status", "endpointslice")
	t.Run("lifecycle", func(t *testing.T) { testLifecycle(t, s) })
	t.Run("scale", func(t *testing.T) { testScale(t, s) })
	t.Run("quota", func(t *testing.T) { testExceededQuota(t, s) })
	t.Run("adoption", func(t *testing.T) { testAdoption(t, s) })
	t.Run("deletion", func(t *testing.T) { testDeletion(t, s) })
	t.Run("two owners", func(t *testing.T) { testTwoOwners(t, s) })
	for _, w := range s.warnings {
		if strings.HasPrefix(w, "ReplicationController") {
			t.Errorf("the server warns: %s", w) // that nobody acts on it
		}
	}
}

// "should test the lifecycle of a ReplicationController": what a watch tells of it, and
// patches of status and scale.
func testLifecycle(t *testing.T, s *shop) {
	const ns, name = "lifecycle", "rc-test"
	s.namespace(t, ns)
	api := s.CoreV1().ReplicationControllers(ns)
	w, err := api.Watch(t.Context(), metav1.ListOptions{LabelSelector: "test-rc-static=true"})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	next := func(what string, ok func(watch.Event) bool) {
		t.Helper()
		timeout := time.After(40 * time.Second)
		for {
			select {
			case e, open := <-w.ResultChan():
				if !open {
					t.Fatalf("%s: the watch ended", what)
				}
				if ok(e) {
					return
				}
			case <-timeout:
				t.Fatalf("%s: no such event", what)
			}
		}
	}
	created := s.createRC(t, ns, newRC(name, 1))
	if fmt.Sprint(created.Spec.Selector) != "map[name:rc-test]" {
		t.Errorf("the selector is %v by default, want the template's labels", created.Spec.Selector)
	}
	next("added", func(e watch.Event) bool { return e.Type == watch.Added })
	next("ready", func(e watch.Event) bool {
		rc := e.Object.(*corev1.ReplicationController)
		return rc.Status.Replicas == 1 && rc.Status.ReadyReplicas == 1
	})
	patch := func(pt types.PatchType, body string, sub ...string) *corev1.ReplicationController {
		t.Helper()
		rc, err := api.Patch(t.Context(), name, pt, []byte(body), metav1.PatchOptions{}, sub...)
		if err != nil {
			t.Fatal(err)
		}
		return rc
	}
	modified := func(e watch.Event) bool { return e.Type == watch.Modified }
	patch(types.StrategicMergePatchType, `{"metadata":{"labels":{"test-rc":"patched"}}}`)
	next("patched", modified)
	if is := patch(types.StrategicMergePatchType, `{"status":{"readyReplicas":0,"availableReplicas":0}}`, "status").Status.ReadyReplicas; is != 0 {
		t.Errorf("%d are ready by a status that was patched to 0", is)
	}
	next("status patched", modified)
	s.awaitRC(t, ns, name, ready(1)) // it is told what is
	patch(types.StrategicMergePatchType, `{"spec":{"replicas":2}}`, "scale")
	next("scaled", func(e watch.Event) bool {
		rc := e.Object.(*corev1.ReplicationController)
		return rc.Labels["test-rc"] == "patched" && rc.Status.Replicas == 2 && rc.Status.ReadyReplicas == 2
	})
	if err := api.DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "test-rc-static=true"}); err != nil {
		t.Fatal(err)
	}
	next("deleted", func(e watch.Event) bool { return e.Type == watch.Deleted })
}

// "should get and update a ReplicationController scale", and what it says in events.
func testScale(t *testing.T, s *shop) {
	const ns, name = "scale", "e2e-rc"
	s.namespace(t, ns)
	api := s.CoreV1().ReplicationControllers(ns)
	s.createRC(t, ns, newRC(name, 1))
	s.awaitRC(t, ns, name, ready(1))
	scale, err := api.GetScale(t.Context(), name, metav1.GetOptions{})
	if err != nil || scale.Status.Replicas != 1 || scale.Status.Selector != "name=e2e-rc" {
		t.Fatalf("scale %+v, %v", scale, err)
	}
	for _, n := range []int32{3, 2} {
		scale.ResourceVersion, scale.Spec.Replicas = "", n
		if _, err := api.UpdateScale(t.Context(), name, scale, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		s.awaitRC(t, ns, name, ready(n))
	}
	until(t, "events", func() bool {
		l, err := s.CoreV1().Events(ns).List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=ReplicationController,involvedObject.name=" + name})
		if err != nil {
			t.Fatal(err)
		}
		made, gone := 0, 0
		for _, e := range l.Items {
			switch {
			case e.Reason == "SuccessfulCreate" && strings.HasPrefix(e.Message, "Created pod: e2e-rc-"):
				made++
			case e.Reason == "SuccessfulDelete" && strings.HasPrefix(e.Message, "Deleted pod: e2e-rc-"):
				gone++
			}
		}
		return made == 3 && gone == 1
	})
}

// "should surface a failure condition on a common issue like exceeded quota".
func testExceededQuota(t *testing.T, s *shop) {
	const ns, name = "quota", "condition-test"
	s.namespace(t, ns)
	if _, err := s.CoreV1().ResourceQuotas(ns).Create(t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"pods": resource.MustParse("2"), "replicationcontrollers": resource.MustParse("1")}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "quota counts", func() bool {
		q, err := s.CoreV1().ResourceQuotas(ns).Get(t.Context(), name, metav1.GetOptions{})
		return err == nil && len(q.Status.Used) == 2
	})
	s.createRC(t, ns, newRC(name, 3))
	if _, err := s.CoreV1().ReplicationControllers(ns).Create(t.Context(), newRC("second", 0), metav1.CreateOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a second one beside a quota of one: %v", err)
	}
	s.awaitRC(t, ns, name, failing(true))
	two := int32(2)
	until(t, "scaled down", func() bool {
		rc, err := s.CoreV1().ReplicationControllers(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		rc.Spec.Replicas = &two
		_, err = s.CoreV1().ReplicationControllers(ns).Update(t.Context(), rc, metav1.UpdateOptions{})
		return err == nil
	})
	s.awaitRC(t, ns, name, failing(false))
	s.awaitRC(t, ns, name, ready(2))
}

// "should adopt matching pods on creation" and "should release no longer matching pods".
func testAdoption(t *testing.T, s *shop) {
	const ns, name = "adoption", "pod-adoption"
	s.namespace(t, ns)
	pod := aPod(name, func(p *corev1.Pod) { p.Labels = map[string]string{"name": name} })
	if _, err := s.CoreV1().Pods(ns).Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	rc := s.createRC(t, ns, newRC(name, 1))
	owned := func() bool {
		p, err := s.CoreV1().Pods(ns).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		ref := metav1.GetControllerOf(p)
		return ref != nil && ref.UID == rc.UID && ref.Kind == "ReplicationController" && ref.APIVersion == "v1"
	}
	until(t, "adopted", owned)
	s.awaitRC(t, ns, name, ready(1))
	if n := len(s.podsOf(t, ns)); n != 1 {
		t.Errorf("%d pods, want the one that was there", n)
	}
	if _, err := s.CoreV1().Pods(ns).Patch(t.Context(), name, types.MergePatchType, []byte(`{"metadata":{"labels":{"name":"not-matching-name"}}}`), metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	until(t, "released and replaced", func() bool { return !owned() && len(s.podsOf(t, ns)) == 2 })
}

// "should delete pods created by rc when not orphaning", "should orphan pods created by rc
// if delete options say so" (and by default), "should keep the rc around until all its
// pods are deleted if the deleteOptions says so".
func testDeletion(t *testing.T, s *shop) {
	for policy, left := range map[metav1.DeletionPropagation]int{metav1.DeletePropagationBackground: 0, metav1.DeletePropagationForeground: 0,
		metav1.DeletePropagationOrphan: 10, "": 10} {
		ns := "deletion-" + strings.ToLower(string(policy)) + "x"
		s.namespace(t, ns)
		rc := s.createRC(t, ns, newRC("simpletest", 10))
		s.awaitRC(t, ns, rc.Name, ready(10))
		o := metav1.DeleteOptions{Preconditions: metav1.NewUIDPreconditions(string(rc.UID))}
		if policy != "" {
			o.PropagationPolicy = &policy
		}
		if err := s.CoreV1().ReplicationControllers(ns).Delete(t.Context(), rc.Name, o); err != nil {
			t.Fatal(err)
		}
		until(t, "it is gone: "+ns, func() bool {
			_, err := s.CoreV1().ReplicationControllers(ns).Get(t.Context(), rc.Name, metav1.GetOptions{})
			if apierrors.IsNotFound(err) && policy == metav1.DeletePropagationForeground {
				if n := len(s.podsOf(t, ns)); n != 0 {
					t.Errorf("it went before %d of its pods", n)
				}
			}
			return apierrors.IsNotFound(err)
		})
		until(t, "its pods: "+ns, func() bool { return len(s.podsOf(t, ns)) == left })
		for _, p := range s.podsOf(t, ns) {
			if len(p.OwnerReferences) != 0 {
				t.Errorf("%s: pod %s has owners %v", ns, p.Name, p.OwnerReferences)
			}
		}
	}
}

// "should not delete dependents that have both valid owner and owner that's waiting for
// dependents to be deleted".
func testTwoOwners(t *testing.T, s *shop) {
	const ns = "owners"
	s.namespace(t, ns)
	goes, stays := s.createRC(t, ns, newRC("goes", 6)), s.createRC(t, ns, newRC("stays", 0))
	s.awaitRC(t, ns, goes.Name, ready(6))
	patch := fmt.Sprintf(`{"metadata":{"ownerReferences":[{"apiVersion":"v1","kind":"ReplicationController","name":%q,"uid":%q}]}}`, stays.Name, stays.UID)
	shared := map[string]bool{}
	for _, p := range s.podsOf(t, ns)[:3] {
		shared[p.Name] = true
		if _, err := s.CoreV1().Pods(ns).Patch(t.Context(), p.Name, types.StrategicMergePatchType, []byte(patch), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.CoreV1().ReplicationControllers(ns).Delete(t.Context(), goes.Name, metav1.DeleteOptions{PropagationPolicy: new(metav1.DeletePropagationForeground)}); err != nil {
		t.Fatal(err)
	}
	until(t, "it is gone", func() bool {
		_, err := s.CoreV1().ReplicationControllers(ns).Get(t.Context(), goes.Name, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	})
	left := s.podsOf(t, ns)
	for _, p := range left {
		if !shared[p.Name] || len(p.OwnerReferences) != 1 || p.OwnerReferences[0].UID != stays.UID {
			t.Errorf("pod %s is left with owners %v", p.Name, p.OwnerReferences)
		}
	}
	if len(left) != 3 {
		t.Errorf("%d pods are left, want the 3 that another owns too", len(left))
	}
}

// agnhost is what upstream's tests of kubectl create
// (test/e2e/testing-manifests/kubectl/agnhost-primary-controller.json.in).
const agnhost = `{"kind":"ReplicationController","apiVersion":"v1","metadata":{"name":"agnhost-primary","labels":{"app":"agnhost","role":"primary"}},
"spec":{"replicas":1,"selector":{"app":"agnhost","role":"primary"},"template":{"metadata":{"labels":{"app":"agnhost","role":"primary"}},
"spec":{"containers":[{"name":"agnhost-primary","image":"agnhost","ports":[{"name":"agnhost-server","containerPort":6379}]}]}}}}`

// TestKubectlOnReplicationControllers is what upstream's tests do with kubectl: "Update
// Demo should scale a replication controller", "Kubectl expose should create services for
// rc", "Kubectl patch should add annotations for pods in rc" and "kubectl describe prints
// relevant information for rc and pods".
func TestKubectlOnReplicationControllers(t *testing.T) {
	s := newControlled(t, "replicationcontroller", "garbage-collector", "endpointslice")
	s.program = kerneltest.Kubectl(t)
	file := filepath.Join(t.TempDir(), "agnhost.json")
	if err := os.WriteFile(file, []byte(agnhost), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		out, err := s.kubectl(t, args...)
		if err != nil {
			t.Fatalf("kubectl %v: %v\n%s", args, err, out)
		}
		return out
	}
	if out := run("create", "-f", file); strings.Contains(out, "Warning") {
		t.Errorf("kubectl create says\n%s", out)
	}
	s.awaitRC(t, "default", "agnhost-primary", ready(1))
	pod := s.podsOf(t, "default")[0].Name
	s.sees(t, []string{"Name: agnhost-primary Namespace: default Selector: app=agnhost,role=primary Labels: app=agnhost role=primary Annotations: <none> Replicas: 1 current / 1 desired",
		"Pods Status: 1 Running / 0 Waiting / 0 Succeeded / 0 Failed", "Image: agnhost", "Events: .* SuccessfulCreate .* Created pod: " + pod}, "describe", "rc", "agnhost-primary")
	s.sees(t, []string{"Controlled By: ReplicationController/agnhost-primary", "Status: Running"}, "describe", "pod", pod)
	run("patch", "pod", pod, "-p", `{"metadata":{"annotations":{"x":"y"}}}`)
	if p := s.podsOf(t, "default"); len(p) != 1 || p[0].Annotations["x"] != "y" {
		t.Errorf("pods after a patch: %v", p)
	}
	run("expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379")
	run("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
	for name, port := range map[string]int32{"rm2": 1234, "rm3": 2345} {
		svc, err := s.CoreV1().Services("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil || len(svc.Spec.Ports) != 1 || svc.Spec.Ports[0].Port != port || svc.Spec.Ports[0].TargetPort.IntValue() != 6379 || svc.Spec.Selector["role"] != "primary" {
			t.Errorf("service %s: %+v, %v", name, svc, err)
		}
	}
	run("scale", "rc", "agnhost-primary", "--replicas=2", "--timeout=5m")
	s.awaitRC(t, "default", "agnhost-primary", ready(2))
	run("scale", "rc", "agnhost-primary", "--replicas=1", "--timeout=5m")
	s.awaitRC(t, "default", "agnhost-primary", ready(1))
	run("delete", "--grace-period=0", "--force", "-f", file)
	until(t, "its pods are gone", func() bool { return len(s.podsOf(t, "default")) == 0 })
}
