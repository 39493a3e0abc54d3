package controllertest_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel/registry"
)

func condition(d *appsv1.Deployment, t appsv1.DeploymentConditionType) string {
	for _, c := range d.Status.Conditions {
		if c.Type == t {
			return fmt.Sprintf("%s %s", c.Status, c.Reason)
		}
	}
	return "none"
}

// A rollout whose pods never get ready keeps what works, and says that it
// failed; fixing it brings it to its end.
func TestRolloutThatFails(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	n := startNodes(t, c, "a", "b")
	n.decide(func(p *corev1.Pod) bool { return p.Spec.Containers[0].Image != "broken" })
	d := newDeployment("web", 4)
	seconds := int32(1)
	d.Spec.ProgressDeadlineSeconds = &seconds
	c.mustCreate(t, newService("web", "web"))
	c.mustCreate(t, d)
	eventually(t, "created", func() string { return rolledOut(t, c, "web", 4) })
	update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "broken" })
	eventually(t, "failed", func() string {
		d := get[appsv1.Deployment](t, c, "web")
		return all(equal("progressing", condition(d, appsv1.DeploymentProgressing), "False ProgressDeadlineExceeded"),
			equal("available", condition(d, appsv1.DeploymentAvailable), "True MinimumReplicasAvailable"))
	})
	if got := endpoints(t, c, "web"); got < 3 {
		t.Errorf("%d endpoints are left, want at least 3 of 4", got)
	}
	update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = "fixed" })
	eventually(t, "fixed", func() string { return all(rolledOut(t, c, "web", 4), equal("images", images(t, c), "map[fixed:4]")) })
}

func TestPauseAndScale(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	startNodes(t, c, "a")
	c.mustCreate(t, newDeployment("web", 2))
	eventually(t, "created", func() string { return rolledOut(t, c, "web", 2) })
	n := int32(5)
	update(t, c, "web", "", func(d *appsv1.Deployment) {
		d.Spec.Paused, d.Spec.Replicas = true, &n
		d.Spec.Template.Spec.Containers[0].Image = "image:2"
	})
	eventually(t, "scaled while paused", func() string {
		d := get[appsv1.Deployment](t, c, "web")
		return all(equal("images", images(t, c), "map[image:1:5]"), equal("available", d.Status.AvailableReplicas, 5),
			equal("progressing", condition(d, appsv1.DeploymentProgressing), "Unknown DeploymentPaused"))
	})
	update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Paused = false })
	eventually(t, "resumed", func() string { return all(rolledOut(t, c, "web", 5), equal("images", images(t, c), "map[image:2:5]")) })
}

func TestHistoryLimit(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	startNodes(t, c, "a")
	d := newDeployment("web", 1)
	limit := int32(2)
	d.Spec.RevisionHistoryLimit = &limit
	c.mustCreate(t, d)
	for i := 1; i <= 5; i++ {
		update(t, c, "web", "", func(d *appsv1.Deployment) { d.Spec.Template.Spec.Containers[0].Image = fmt.Sprint("image:", i) })
		eventually(t, "rolled out", func() string { return rolledOut(t, c, "web", 1) })
	}
	eventually(t, "history", func() string {
		return equal("revisions", revisions(t, c), "map[image:3:3 image:4:4 image:5:5]")
	})
}

// A ReplicaSet takes in pods that match and have no owner, whenever they come,
// and lets go of those that match no longer.
func TestAdoptAndRelease(t *testing.T) {
	c := newCluster(t, nativeHost(t), "replicaset")
	startNodes(t, c, "a")
	labels := map[string]string{"app": "web"}
	bare := func(name string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	}
	c.mustCreate(t, bare("before"))
	n := int32(2)
	c.mustCreate(t, &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.ReplicaSetSpec{Replicas: &n,
		Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}})
	owned := func() (names []string) {
		for _, p := range list[corev1.Pod](t, c, namespace) {
			if p.DeletionTimestamp == nil && metav1.GetControllerOf(p) != nil {
				names = append(names, p.Name)
			}
		}
		return names
	}
	ready := func(n int32) string {
		return equal("ready", get[appsv1.ReplicaSet](t, c, "web").Status.ReadyReplicas, n)
	}
	eventually(t, "adopted what was there", func() string {
		return all(equal("pods", len(owned()), 2), equal("adopted", slices.Contains(owned(), "before"), true), ready(2))
	})
	update(t, c, "before", "", func(p *corev1.Pod) { p.Labels = map[string]string{"app": "other"} })
	eventually(t, "released and replaced", func() string {
		return all(equal("pods", len(owned()), 2), equal("released", slices.Contains(owned(), "before"), false), ready(2))
	})
	c.mustCreate(t, bare("later"))
	eventually(t, "adopted a newcomer and removed one", func() string { return all(equal("pods", len(owned()), 2), ready(2)) })
	if p := get[corev1.Pod](t, c, "later"); p != nil && p.DeletionTimestamp == nil && metav1.GetControllerOf(p) == nil {
		eventually(t, "newcomer adopted", func() string {
			p := get[corev1.Pod](t, c, "later")
			return equal("adopted", p == nil || p.DeletionTimestamp != nil || metav1.GetControllerOf(p) != nil, true)
		})
	}
}

func TestDeletionPolicies(t *testing.T) {
	c := newCluster(t, nativeHost(t), workload...)
	startNodes(t, c, "a")
	for _, name := range []string{"background", "orphaned"} {
		c.mustCreate(t, newDeployment(name, 2))
		eventually(t, name, func() string { return rolledOut(t, c, name, 2) })
	}
	c.mustDelete(t, newDeployment("background", 0), metav1.DeletePropagationBackground)
	eventually(t, "dependents of the first are gone", func() string { return equal("pods", len(list[corev1.Pod](t, c, namespace)), 2) })
	c.mustDelete(t, newDeployment("orphaned", 0), metav1.DeletePropagationOrphan)
	eventually(t, "the second is gone", func() string { return equal("gone", get[appsv1.Deployment](t, c, "orphaned") == nil, true) })
	sets := list[appsv1.ReplicaSet](t, c, namespace)
	if len(sets) != 1 || len(sets[0].OwnerReferences) != 0 {
		t.Fatalf("orphaned sets = %+v, want one without owners", sets)
	}
	// A new Deployment of that selector takes them over, pods and all.
	c.mustCreate(t, newDeployment("orphaned", 2))
	eventually(t, "adopted", func() string {
		sets := list[appsv1.ReplicaSet](t, c, namespace)
		return all(rolledOut(t, c, "orphaned", 2), equal("sets", len(sets), 1), equal("owners", len(sets[0].OwnerReferences), 1))
	})
}

// Garbage with two owners goes with the last of them; what names an owner that
// never was goes at once.
func TestGarbage(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	config := func(name string, owners ...string) *corev1.ConfigMap {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}
		for _, o := range owners {
			uid := types.UID("00000000-0000-0000-0000-000000000000")
			if owner := get[corev1.ConfigMap](t, c, o); owner != nil {
				uid = owner.UID
			}
			m.OwnerReferences = append(m.OwnerReferences, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: o, UID: uid})
		}
		return m
	}
	there := func(name string) bool { return get[corev1.ConfigMap](t, c, name) != nil }
	c.mustCreate(t, config("a"))
	c.mustCreate(t, config("b"))
	c.mustCreate(t, config("both", "a", "b"))
	c.mustCreate(t, config("chain", "both"))
	c.mustCreate(t, config("stray", "nobody"))
	eventually(t, "stray", func() string { return equal("there", there("stray"), false) })
	c.mustDelete(t, config("a"), "")
	eventually(t, "reference dropped", func() string {
		return equal("owners", len(get[corev1.ConfigMap](t, c, "both").OwnerReferences), 1)
	})
	if !there("both") || !there("chain") {
		t.Fatal("an object with an owner left was deleted")
	}
	update(t, c, "b", "", func(m *corev1.ConfigMap) {
		m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "nobody", UID: "1"}}
	})
	eventually(t, "the chain is gone", func() string {
		return all(equal("b", there("b"), false), equal("both", there("both"), false), equal("chain", there("chain"), false))
	})
}

// Objects that own each other in a circle go, whatever the propagation, and in
// whatever order the controller's workers look at them (upstream: "should not
// be blocked by dependency circle").
func TestGarbageInACircle(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	for _, size := range []int{1, 2, 3, 7} {
		for _, policy := range []metav1.DeletionPropagation{metav1.DeletePropagationForeground, metav1.DeletePropagationBackground} {
			name := func(i int) string { return fmt.Sprintf("c%d-%d", size, (i+size)%size) }
			for i := range size {
				c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name(i)}})
			}
			yes := true
			for i := range size {
				owner := get[corev1.ConfigMap](t, c, name(i-1))
				update(t, c, name(i), "", func(m *corev1.ConfigMap) {
					m.OwnerReferences = []metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID, BlockOwnerDeletion: &yes, Controller: &yes}}
				})
			}
			c.mustDelete(t, get[corev1.ConfigMap](t, c, name(0)), policy)
			eventually(t, fmt.Sprint("a circle of ", size, " deleted in ", policy), func() string {
				return equal("left", len(list[corev1.ConfigMap](t, c, namespace)), 0)
			})
		}
	}
}

// An owner waits for what it owns together with another that waits too.
func TestForegroundWithTwoOwnersThatGo(t *testing.T) {
	c := newCluster(t, nativeHost(t), "garbage-collector")
	yes := true
	var refs []metav1.OwnerReference
	for _, name := range []string{"a", "b"} {
		c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}})
		refs = append(refs, metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: name, UID: get[corev1.ConfigMap](t, c, name).UID, BlockOwnerDeletion: &yes})
	}
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "held", OwnerReferences: refs, Finalizers: []string{"example.com/hold"}}})
	policy := metav1.DeletePropagationForeground
	var both []registry.BatchItem // at once: one that stays takes the dependent over
	for _, name := range []string{"a", "b"} {
		both = append(both, registry.BatchItem{Verb: "delete", Target: c.target(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}}),
			Delete: metav1.DeleteOptions{PropagationPolicy: &policy}})
	}
	if _, err := c.Batch(t.Context(), both, true); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the dependent is being deleted", func() string {
		return equal("deleting", get[corev1.ConfigMap](t, c, "held").DeletionTimestamp != nil, true)
	})
	for _, name := range []string{"a", "b"} {
		if get[corev1.ConfigMap](t, c, name) == nil {
			t.Errorf("%s went before what it owns", name)
		}
	}
	if n := len(get[corev1.ConfigMap](t, c, "held").OwnerReferences); n != 2 {
		t.Errorf("the dependent has %d owners left, want both", n)
	}
	update(t, c, "held", "", func(m *corev1.ConfigMap) { m.Finalizers = nil })
	eventually(t, "all are gone", func() string { return equal("left", len(list[corev1.ConfigMap](t, c, namespace)), 0) })
}

func TestNamespace(t *testing.T) {
	c := newCluster(t, nativeHost(t), "namespace", "default-service-account", "root-ca", "replicaset", "deployment", "garbage-collector")
	startNodes(t, c, "a")
	c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	has := func() (account, ca bool) {
		for _, sa := range list[corev1.ServiceAccount](t, c, "team") {
			account = account || sa.Name == "default"
		}
		for _, m := range list[corev1.ConfigMap](t, c, "team") {
			ca = ca || m.Name == "kube-root-ca.crt" && m.Data["ca.crt"] == "the CA"
		}
		return account, ca
	}
	eventually(t, "filled", func() string {
		account, ca := has()
		return all(equal("account", account, true), equal("ca", ca, true))
	})
	c.mustDelete(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "default"}}, "")
	c.mustDelete(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "kube-root-ca.crt"}}, "")
	eventually(t, "filled again", func() string {
		account, ca := has()
		return all(equal("account", account, true), equal("ca", ca, true))
	})
	d := newDeployment("web", 3)
	d.Namespace = "team"
	c.mustCreate(t, d)
	eventually(t, "pods", func() string { return equal("pods", len(list[corev1.Pod](t, c, "team")), 3) })
	c.mustDelete(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, "")
	eventually(t, "gone", func() string {
		return all(equal("namespace", get[corev1.Namespace](t, c, "team") == nil, true), equal("pods", len(list[corev1.Pod](t, c, "team")), 0),
			equal("accounts", len(list[corev1.ServiceAccount](t, c, "team")), 0))
	})
}

// A namespace that is held says by what, in upstream's words.
func TestNamespaceConditions(t *testing.T) {
	c := newCluster(t, nativeHost(t), "namespace")
	c.mustCreate(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "held", Finalizers: []string{"example.com/hold"}}})
	c.mustCreate(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "free"}})
	c.mustDelete(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team"}}, "")
	want := []string{
		"NamespaceDeletionDiscoveryFailure False ResourcesDiscovered",
		"NamespaceDeletionGroupVersionParsingFailure False ParsedGroupVersions",
		"NamespaceDeletionContentFailure False ContentDeleted",
		"NamespaceContentRemaining True SomeResourcesRemain Some resources are remaining: configmaps. has 1 resource instances",
		"NamespaceFinalizersRemaining True SomeFinalizersRemain Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
	}
	eventually(t, "conditions", func() string {
		var got []string
		for _, x := range get[corev1.Namespace](t, c, "team").Status.Conditions {
			s := fmt.Sprintf("%s %s %s", x.Type, x.Status, x.Reason)
			if x.Status == corev1.ConditionTrue {
				s += " " + x.Message
			}
			got = append(got, s)
		}
		return equal("conditions", fmt.Sprint(got), fmt.Sprint(want))
	})
	tg := c.target(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: "held"}})
	if _, err := c.Patch(t.Context(), tg, types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`), registry.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "gone", func() string { return equal("gone", get[corev1.Namespace](t, c, "team") == nil, true) })
}

// A node that falls silent is tainted, its pods leave their Services at once
// and are replaced elsewhere when their toleration ends.
func TestNodeLoss(t *testing.T) {
	c := newCluster(t, nativeHost(t), append([]string{"node-lifecycle", "node-ipam", "pod-garbage-collector"}, workload...)...)
	n := startNodes(t, c, "a", "b")
	d := newDeployment("web", 4)
	second := int64(1)
	for _, key := range []string{"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"} {
		d.Spec.Template.Spec.Tolerations = append(d.Spec.Template.Spec.Tolerations,
			corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoExecute, TolerationSeconds: &second})
	}
	c.mustCreate(t, newService("web", "web"))
	c.mustCreate(t, d)
	eventually(t, "created", func() string { return all(rolledOut(t, c, "web", 4), equal("endpoints", endpoints(t, c, "web"), 4)) })
	a, b := get[corev1.Node](t, c, "a"), get[corev1.Node](t, c, "b")
	if a.Spec.PodCIDR != "10.244.0.0/24" || b.Spec.PodCIDR != "10.244.1.0/24" {
		t.Errorf("pod ranges are %q and %q", a.Spec.PodCIDR, b.Spec.PodCIDR)
	}
	if len(a.Spec.Taints) > 0 {
		t.Errorf("a living node has taints %v", a.Spec.Taints)
	}
	n.kill("a")
	start := time.Now()
	eventually(t, "replaced", func() string {
		var lost, running int
		for _, p := range list[corev1.Pod](t, c, namespace) {
			switch {
			case p.Spec.NodeName == "a" && p.DeletionTimestamp == nil:
				lost++
			case p.Spec.NodeName == "b":
				running++
			}
		}
		return all(equal("pods on the lost node", lost, 0), equal("pods on the other", running, 4),
			equal("endpoints", endpoints(t, c, "web"), 4))
	})
	t.Logf("replaced %v after the node fell silent: 1s of grace, 1s of toleration", time.Since(start).Round(time.Millisecond))
	a = get[corev1.Node](t, c, "a")
	if len(a.Spec.Taints) != 2 || a.Spec.Taints[0].Key != "node.kubernetes.io/unreachable" {
		t.Errorf("taints of the lost node are %v", a.Spec.Taints)
	}
	for _, s := range list[discoveryv1.EndpointSlice](t, c, namespace) {
		for _, e := range s.Endpoints {
			if *e.NodeName == "a" && *e.Conditions.Ready {
				t.Errorf("an endpoint of the lost node is ready: %v", e)
			}
		}
	}
	// Its pods hang until the node is removed.
	c.mustDelete(t, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "a"}}, "")
	eventually(t, "forgotten", func() string { return equal("pods", len(list[corev1.Pod](t, c, namespace)), 4) })
}
