package kinds_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/standard"
)

// stateful is a control plane with the controller of StatefulSets, with the account and
// the permissions that it ships with.
type stateful struct{ *governed }

func newStateful(t testing.TB) stateful {
	t.Helper()
	return newShipping(t, "statefulset")
}

// newShipping is a control plane with plugins as they ship.
func newShipping(t testing.TB, names ...string) stateful {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
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
	return stateful{g}
}

func (stateful) must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// readyPods makes every pod of a namespace ready, as nodes would, until the test ends.
func (g stateful) readyPods(t testing.TB, namespace string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	t.Cleanup(func() {
		cancel()
		<-done
	})
	w, err := g.CoreV1().Pods(namespace).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		defer w.Stop()
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok && p.DeletionTimestamp == nil && p.Status.Phase == corev1.PodPending {
				status := fmt.Appendf(nil, `{"metadata":{"uid":%q},"status":{"phase":"Running","conditions":[{"type":"Ready","status":"True","lastTransitionTime":%q}]}}`, p.UID, time.Now().UTC().Format(time.RFC3339))
				_, _ = g.CoreV1().Pods(namespace).Patch(ctx, p.Name, types.StrategicMergePatchType, status, metav1.PatchOptions{}, "status") // it may be gone
			}
		}
	}()
}

// eventually waits until check answers "".
func (stateful) eventually(t testing.TB, what string, check func() string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(40 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if last = check(); last == "" {
			return
		}
	}
	t.Fatalf("%s: %s", what, last)
}

func aStatefulSet(name string, replicas int32) *appsv1.StatefulSet {
	labels := map[string]string{"app": name}
	return &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: appsv1.StatefulSetSpec{
		Replicas: &replicas, ServiceName: name, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "one"}}}},
		VolumeClaimTemplates: []corev1.PersistentVolumeClaim{{ObjectMeta: metav1.ObjectMeta{Name: "data"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			Resources:   corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")}}}}},
	}}
}

// rolledOut waits until a StatefulSet has n pods, all of an image.
func (g stateful) rolledOut(t testing.TB, name, image string, n int32) (set *appsv1.StatefulSet) {
	t.Helper()
	g.eventually(t, fmt.Sprint(name, " of ", n, " with ", image), func() string {
		var err error
		if set, err = g.AppsV1().StatefulSets("default").Get(t.Context(), name, metav1.GetOptions{}); err != nil {
			return err.Error()
		}
		s := set.Status
		if s.ObservedGeneration != set.Generation || s.Replicas != n || s.AvailableReplicas != n || s.UpdatedReplicas != n || s.CurrentRevision != s.UpdateRevision {
			return fmt.Sprintf("generation %d, status %+v", set.Generation, s)
		}
		pods, err := g.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=" + name})
		if err != nil {
			return err.Error()
		}
		for _, p := range pods.Items {
			if p.Spec.Containers[0].Image != image || p.Labels[appsv1.StatefulSetRevisionLabel] != s.CurrentRevision {
				return fmt.Sprintf("pod %s has image %s, labels %v", p.Name, p.Spec.Containers[0].Image, p.Labels)
			}
		}
		return ""
	})
	return set
}

// TestStatefulSet: a StatefulSet as its user sees it, by client-go and kubectl: made
// without a warning, scaled, updated, undone, told of by events; with no more
// permissions than the controller ships with.
func TestStatefulSet(t *testing.T) {
	g := newStateful(t)
	g.readyPods(t, "default")
	g.warnings = nil
	sets := g.AppsV1().StatefulSets("default")
	_, err := sets.Create(t.Context(), aStatefulSet("web", 3), metav1.CreateOptions{})
	g.must(t, err)
	if len(g.warnings) > 0 {
		t.Errorf("warnings %q", g.warnings)
	}
	g.rolledOut(t, "web", "one", 3)
	for _, name := range []string{"data-web-0", "data-web-1", "data-web-2"} {
		c, err := g.CoreV1().PersistentVolumeClaims("default").Get(t.Context(), name, metav1.GetOptions{})
		g.must(t, err)
		if c.Labels["app"] != "web" || len(c.OwnerReferences) != 0 {
			t.Errorf("claim %s: labels %v, owners %v", name, c.Labels, c.OwnerReferences)
		}
	}
	p, err := g.CoreV1().Pods("default").Get(t.Context(), "web-2", metav1.GetOptions{})
	g.must(t, err)
	if p.Spec.Hostname != "web-2" || p.Spec.Subdomain != "web" || p.Labels[appsv1.PodIndexLabel] != "2" || p.Labels[appsv1.StatefulSetPodNameLabel] != "web-2" {
		t.Errorf("pod: hostname %s, subdomain %s, labels %v", p.Spec.Hostname, p.Spec.Subdomain, p.Labels)
	}

	scale, err := sets.GetScale(t.Context(), "web", metav1.GetOptions{})
	g.must(t, err)
	scale.Spec.Replicas = 2
	_, err = sets.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{})
	g.must(t, err)
	g.rolledOut(t, "web", "one", 2)

	_, err = sets.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"template":{"spec":{"containers":[{"name":"c","image":"two"}]}}}}`), metav1.PatchOptions{})
	g.must(t, err)
	g.rolledOut(t, "web", "two", 2)
	if out := g.kubectl(t, "rollout", "status", "statefulset/web", "--timeout=40s"); !strings.Contains(out, "2 pods at revision") && !strings.Contains(out, "complete") {
		t.Errorf("rollout status: %s", out)
	}
	if out := g.kubectl(t, "rollout", "undo", "statefulset/web"); !strings.Contains(out, "rolled back") {
		t.Errorf("rollout undo: %s", out)
	}
	g.rolledOut(t, "web", "one", 2)
	if out := g.kubectl(t, "rollout", "history", "statefulset/web"); !strings.Contains(out, "2 <none>\n3 <none>") {
		t.Errorf("rollout history: %s", out)
	}
	g.eventually(t, "events", func() string {
		events, err := g.CoreV1().Events("default").List(t.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=StatefulSet"})
		g.must(t, err)
		var all []string
		for _, e := range events.Items {
			all = append(all, e.Reason+" "+e.Message)
		}
		for _, want := range []string{"SuccessfulCreate Create Pod web-0 in StatefulSet web successful", "SuccessfulDelete Delete Pod web-2 in StatefulSet web successful",
			"SuccessfulCreate Create Claim data-web-1 Pod web-1 in StatefulSet web success"} {
			if !slices.Contains(all, want) {
				return fmt.Sprintf("%q is not among %q", want, all)
			}
		}
		return ""
	})
	at := registry.Target{Resource: v1alpha1.GroupVersion.WithResource("plugins"), Name: "statefulset"}
	o, err := g.Registry.Get(t.Context(), at, metav1.GetOptions{})
	g.must(t, err)
	if e := o.Obj.(*v1alpha1.Plugin).Status.LastError; e != nil {
		t.Errorf("the controller was refused something: %+v", e)
	}
}
