package kinds_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/kerneltest"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// disruptable is a control plane with controllers of what ships, under the accounts and
// with the permissions that they ship with, and a hand that stands for nodes.
type disruptable struct {
	*governed
	nodes atomic.Bool // they are at work
}

func newDisruptable(t testing.TB, controllers ...string) *disruptable {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if !slices.Contains(controllers, p.Name) {
				continue
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			if p.Name == "pod-garbage-collector" {
				b.Spec.Config = &runtime.RawExtension{Raw: []byte(`{"quarantineSeconds":0.2}`)}
			}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	})
	<-g.PluginsSynced()
	return &disruptable{governed: g}
}

func (g *disruptable) eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	stateful{}.eventually(t, what, check)
}

// follow calls look with every event of the pods of a namespace until the test ends.
func (g *disruptable) follow(t testing.TB, look func(context.Context, apiwatch.EventType, *corev1.Pod)) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w, err := g.CoreV1().Pods("default").Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		defer w.Stop()
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok {
				look(ctx, e.Type, p)
			}
		}
	}()
}

// startNodes makes nodes whose pods are ready at once, and end when they are deleted.
// What is not done because the pod has changed comes again with the change.
func (g *disruptable) startNodes(t testing.TB, names ...string) {
	t.Helper()
	for _, name := range names {
		n, err := g.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}
		if _, err := g.CoreV1().Nodes().UpdateStatus(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.nodes.Store(true)
	next := 0
	g.follow(t, func(ctx context.Context, e apiwatch.EventType, p *corev1.Pod) {
		pods := g.CoreV1().Pods(p.Namespace)
		switch {
		case e == apiwatch.Deleted || !g.nodes.Load():
		case p.DeletionTimestamp != nil:
			none := int64(0)
			_ = pods.Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: &none, Preconditions: &metav1.Preconditions{UID: &p.UID}})
		case p.Spec.NodeName == "":
			for range names {
				next++
				n, err := g.CoreV1().Nodes().Get(ctx, names[next%len(names)], metav1.GetOptions{})
				if err == nil && !n.Spec.Unschedulable {
					_ = pods.Bind(ctx, &corev1.Binding{ObjectMeta: metav1.ObjectMeta{Name: p.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: n.Name}}, metav1.CreateOptions{})
					return
				}
			}
		case p.Status.Phase == corev1.PodPending:
			status := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, p.UID, time.Now().UTC().Format(time.RFC3339))
			_, _ = pods.Patch(ctx, p.Name, types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status")
		}
	})
}

// watchesOver sees that there are never fewer pods that are ready and stay than needed,
// once there have been all.
func (g *disruptable) watchesOver(t testing.TB, all, needed int) {
	t.Helper()
	ready, began := map[string]bool{}, false
	g.follow(t, func(_ context.Context, e apiwatch.EventType, p *corev1.Pod) {
		if e == apiwatch.Deleted || p.DeletionTimestamp != nil || !slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			delete(ready, p.Name)
		} else {
			ready[p.Name] = true
		}
		began = began || len(ready) == all
		if began && len(ready) < needed {
			t.Errorf("only %v are ready after %s of %s, at %s: %d are needed", slices.Sorted(maps.Keys(ready)), e, p.Name, p.ResourceVersion, needed)
		}
	})
}

func (g *disruptable) replicas(t testing.TB, name string, n int32) {
	t.Helper()
	labels := map[string]string{"app": name}
	if _, err := g.AppsV1().ReplicaSets("default").Create(t.Context(), &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.ReplicaSetSpec{
		Replicas: &n, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func (g *disruptable) budget(t testing.TB, name string, change func(*policyv1.PodDisruptionBudgetSpec)) {
	t.Helper()
	b := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: name}}
	b.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	change(&b.Spec)
	if _, err := g.PolicyV1().PodDisruptionBudgets("default").Create(t.Context(), b, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// counts waits until a budget's status, for its present spec, is as wanted.
func (g *disruptable) counts(t testing.TB, name, want string) {
	t.Helper()
	g.eventually(t, name+" counts "+want, func() string {
		b, err := g.PolicyV1().PodDisruptionBudgets("default").Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		s := b.Status
		got := fmt.Sprintf("%d/%d of %d, %d allowed", s.CurrentHealthy, s.DesiredHealthy, s.ExpectedPods, s.DisruptionsAllowed)
		if got != want || s.ObservedGeneration != b.Generation {
			return fmt.Sprintf("%s, of generation %d of %d, %v", got, s.ObservedGeneration, b.Generation, s.Conditions)
		}
		return ""
	})
}

func (g *disruptable) pods(t testing.TB) []corev1.Pod {
	t.Helper()
	l, err := g.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l.Items
}

// evict evicts once: the client by itself would come again when it is told to.
func (g *disruptable) evict(ctx context.Context, name string) error {
	return g.PolicyV1().RESTClient().Post().AbsPath("/api/v1").Namespace("default").Resource("pods").Name(name).SubResource("eviction").
		MaxRetries(0).Body(&policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name}}).Do(ctx).Error()
}

func wantsBudget(t testing.TB, err error, cause string) {
	t.Helper()
	status := apierrors.APIStatus(nil)
	if !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) || !errors.As(err, &status) || !strings.Contains(status.Status().Details.Causes[0].Message, cause) {
		t.Errorf("got %v, want a refusal by the budget: %s", err, cause)
	}
}

// TestBudgetsAreKept follows upstream's conformance test "should block an eviction until
// the PDB is updated to allow it", and what a budget counts by scale.
func TestBudgetsAreKept(t *testing.T) {
	g := newDisruptable(t, "disruption", "replicaset")
	g.startNodes(t, "a")
	g.replicas(t, "web", 3)
	g.budget(t, "b", func(s *policyv1.PodDisruptionBudgetSpec) { s.MinAvailable = &intstr.IntOrString{IntVal: 3} })
	g.counts(t, "b", "3/3 of 3, 0 allowed")
	first := g.pods(t)[0].Name
	wantsBudget(t, g.evict(t.Context(), first), "The disruption budget b needs 3 healthy pods and has 3 currently")

	patch := func(text string) {
		t.Helper()
		if _, err := g.PolicyV1().PodDisruptionBudgets("default").Patch(t.Context(), "b", types.MergePatchType, []byte(text), metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	patch(`{"spec":{"minAvailable":2}}`)
	g.counts(t, "b", "3/2 of 3, 1 allowed")
	dry := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: first}, DeleteOptions: &metav1.DeleteOptions{DryRun: []string{metav1.DryRunAll}}}
	if err := g.PolicyV1().Evictions("default").Evict(t.Context(), dry); err != nil {
		t.Errorf("dry run: %v", err)
	}
	if err := g.evict(t.Context(), first); err != nil {
		t.Errorf("allowed: %v", err)
	}
	g.counts(t, "b", "3/2 of 3, 1 allowed") // it is replaced, and the announcement is forgotten
	patch(`{"spec":{"minAvailable":null,"maxUnavailable":"34%"}}`)
	g.counts(t, "b", "3/1 of 3, 2 allowed")
	patch(`{"spec":{"maxUnavailable":0}}`)
	g.counts(t, "b", "3/3 of 3, 0 allowed")
	wantsBudget(t, g.evict(t.Context(), g.pods(t)[0].Name), "needs 3 healthy pods")

	g.budget(t, "second", func(s *policyv1.PodDisruptionBudgetSpec) { s.MaxUnavailable = &intstr.IntOrString{IntVal: 3} })
	g.counts(t, "second", "3/0 of 3, 3 allowed")
	status := apierrors.APIStatus(nil)
	if err := g.evict(t.Context(), g.pods(t)[0].Name); !errors.As(err, &status) || status.Status().Code != http.StatusInternalServerError || !strings.Contains(err.Error(), "more than one PodDisruptionBudget") {
		t.Errorf("two budgets: %v", err)
	}
	for _, name := range []string{"b", "second"} {
		if err := g.PolicyV1().PodDisruptionBudgets("default").Delete(t.Context(), name, metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.evict(t.Context(), g.pods(t)[0].Name); err != nil {
		t.Errorf("without a budget: %v", err)
	}
}

// TestBudgetsOfEverything: an empty selector selects pods without labels too, and the
// owner's kind may be one that only says its scale.
func TestBudgetsOfEverything(t *testing.T) {
	g := newDisruptable(t, "disruption")
	g.startNodes(t, "a")
	g.budget(t, "all", func(s *policyv1.PodDisruptionBudgetSpec) {
		s.Selector, s.MinAvailable = &metav1.LabelSelector{}, &intstr.IntOrString{IntVal: 1}
	})
	g.counts(t, "all", "0/1 of 0, 0 allowed")
	for _, name := range []string{"p", "q"} {
		if _, err := g.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	g.counts(t, "all", "2/1 of 2, 1 allowed")

	dir := t.TempDir()
	kubectl := g.kubectl(t, dir)
	apply := func(manifest string) {
		t.Helper()
		cmd := kubectl("apply", "-f", "-")
		cmd.Stdin = strings.NewReader(manifest)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("apply: %v\n%s", err, out)
		}
	}
	apply(`apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: rollouts.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: rollouts, singular: rollout, kind: Rollout}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
    subresources: {scale: {specReplicasPath: .spec.size, statusReplicasPath: .status.size}}
`)
	if out, err := kubectl("wait", "--for=condition=Established", "crd/rollouts.example.com", "--timeout=40s").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	apply("{apiVersion: example.com/v1, kind: Rollout, metadata: {name: web, namespace: default}, spec: {size: 4}}")
	uid, err := kubectl("get", "rollout", "web", "-o", "jsonpath={.metadata.uid}").Output()
	if err != nil {
		t.Fatal(err)
	}
	yes := true
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "r", Labels: map[string]string{"app": "web"}, OwnerReferences: []metav1.OwnerReference{{
		APIVersion: "example.com/v1", Kind: "Rollout", Name: "web", UID: types.UID(uid), Controller: &yes}}}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), p, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.budget(t, "part", func(s *policyv1.PodDisruptionBudgetSpec) {
		s.MinAvailable = &intstr.IntOrString{Type: intstr.String, StrVal: "50%"}
	})
	g.counts(t, "part", "1/2 of 4, 0 allowed")
}

// TestNotYetCounted: who evicts before a budget was counted is told when to come again.
func TestNotYetCounted(t *testing.T) {
	g := newDisruptable(t)
	g.startNodes(t, "a")
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.eventually(t, "the pod runs", func() string { return strings.TrimSuffix(string(g.pods(t)[0].Status.Phase), "Running") })
	g.budget(t, "b", func(s *policyv1.PodDisruptionBudgetSpec) { s.MinAvailable = &intstr.IntOrString{} })
	err := g.evict(t.Context(), "p")
	wantsBudget(t, err, "The disruption budget b is still being processed by the server.")
	if seconds, ok := apierrors.SuggestsClientDelay(err); !ok || seconds != 10 {
		t.Errorf("come again in %d, %t", seconds, ok)
	}
}

// TestManyEvictors: whoever evicts, and however many at once, a budget is never violated,
// while pods are replaced and counted.
func TestManyEvictors(t *testing.T) {
	const replicas, needed, evictors, wanted = 8, 6, 12, 40
	g := newDisruptable(t, "disruption", "replicaset")
	g.startNodes(t, "a", "b")
	g.watchesOver(t, replicas, needed)
	g.replicas(t, "web", replicas)
	g.budget(t, "b", func(s *policyv1.PodDisruptionBudgetSpec) { s.MinAvailable = &intstr.IntOrString{IntVal: needed} })
	g.counts(t, "b", "8/6 of 8, 2 allowed")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Second)
	defer cancel()
	var evicted, refused atomic.Int32
	var wg sync.WaitGroup
	for range evictors {
		wg.Go(func() {
			for evicted.Load() < wanted && ctx.Err() == nil {
				l, err := g.CoreV1().Pods("default").List(ctx, metav1.ListOptions{ResourceVersion: "0"})
				if err != nil || len(l.Items) == 0 {
					continue
				}
				p := l.Items[rand.IntN(len(l.Items))]
				if p.DeletionTimestamp != nil || p.Status.Phase != corev1.PodRunning {
					continue
				}
				switch err := g.evict(ctx, p.Name); {
				case err == nil:
					evicted.Add(1)
				case apierrors.IsTooManyRequests(err):
					refused.Add(1)
				case apierrors.IsNotFound(err) || ctx.Err() != nil:
				default:
					t.Errorf("evict %s: %v", p.Name, err)
				}
			}
		})
	}
	wg.Wait()
	if evicted.Load() < wanted || refused.Load() == 0 {
		t.Errorf("%d evicted, %d refused", evicted.Load(), refused.Load())
	}
	g.counts(t, "b", "8/6 of 8, 2 allowed")
}

// kubectl makes commands of a kubectl that speaks to the server.
func (g *disruptable) kubectl(t testing.TB, dir string) func(args ...string) *exec.Cmd {
	t.Helper()
	config := filepath.Join(dir, "kubeconfig")
	if err := g.PKI.WriteKubeconfig(config, g.URL, "admin", g.PKI.Admin()); err != nil {
		t.Fatal(err)
	}
	program := kerneltest.Kubectl(t)
	return func(args ...string) *exec.Cmd {
		return exec.CommandContext(t.Context(), program, append([]string{"--kubeconfig", config, "--cache-dir", filepath.Join(dir, "cache")}, args...)...)
	}
}

// TestDrain: kubectl drain ends, and leaves as many pods as the budget asks for at every
// moment.
func TestDrain(t *testing.T) {
	g := newDisruptable(t, "disruption", "replicaset")
	g.startNodes(t, "a", "b")
	g.watchesOver(t, 4, 3)
	g.replicas(t, "web", 4)
	g.budget(t, "b", func(s *policyv1.PodDisruptionBudgetSpec) { s.MaxUnavailable = &intstr.IntOrString{IntVal: 1} })
	g.counts(t, "b", "4/3 of 4, 1 allowed")
	if out, err := g.kubectl(t, t.TempDir())("drain", "a", "--timeout=80s").CombinedOutput(); err != nil {
		t.Errorf("drain: %v\n%s", err, out)
	}
	for _, p := range g.pods(t) {
		if p.Spec.NodeName == "a" {
			t.Errorf("pod %s is on the node still", p.Name)
		}
	}
	g.counts(t, "b", "4/3 of 4, 1 allowed")
}

// TestPodsOfLostNodesFail: a Job that waits for its pods to fail before it makes others
// goes on when their node is gone, and when they are deleted before they have one.
func TestPodsOfLostNodesFail(t *testing.T) {
	g := newDisruptable(t, "job", "pod-garbage-collector")
	g.startNodes(t, "a")
	failed, one := batchv1.Failed, int32(1)
	if _, err := g.BatchV1().Jobs("default").Create(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "work"}, Spec: batchv1.JobSpec{
		Parallelism: &one, Completions: &one, PodReplacementPolicy: &failed,
		PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{Action: batchv1.PodFailurePolicyActionIgnore,
			OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}}}},
		Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	only := func(what string, is func(*corev1.Pod) bool) (found corev1.Pod) {
		t.Helper()
		g.eventually(t, what, func() string {
			pods := g.pods(t)
			if len(pods) == 1 && is(&pods[0]) {
				found = pods[0]
				return ""
			}
			return fmt.Sprintf("%d pods", len(pods))
		})
		return found
	}
	first := only("the pod runs", func(p *corev1.Pod) bool { return p.Status.Phase == corev1.PodRunning })
	g.nodes.Store(false)
	var seen sync.Map // what was written of the first pod
	g.follow(t, func(_ context.Context, _ apiwatch.EventType, p *corev1.Pod) {
		for _, c := range p.Status.Conditions {
			if p.Name == first.Name && c.Type == corev1.DisruptionTarget {
				seen.Store(fmt.Sprintf("%s %s: %s", p.Status.Phase, c.Reason, c.Message), true)
			}
		}
	})
	if err := g.CoreV1().Nodes().Delete(t.Context(), "a", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	second := only("another pod instead", func(p *corev1.Pod) bool { return p.Name != first.Name })
	g.eventually(t, "the first pod failed because its node is gone", func() string {
		if _, ok := seen.Load("Failed DeletionByPodGC: PodGC: node no longer exists"); !ok {
			return "not seen"
		}
		return ""
	})
	if err := g.CoreV1().Pods("default").Delete(t.Context(), second.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	only("a third", func(p *corev1.Pod) bool { return p.Name != first.Name && p.Name != second.Name })
	g.eventually(t, "the second, which had no node, counts as failed", func() string {
		j, err := g.BatchV1().Jobs("default").Get(t.Context(), "work", metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		// The first is not counted: the policy ignores disruptions.
		if j.Status.Failed != 1 || j.Status.Active != 1 {
			return fmt.Sprintf("%+v", j.Status)
		}
		return ""
	})
}
