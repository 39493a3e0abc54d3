package kinds_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/pintle-io/pintle/kernel"
	"github.com/pintle-io/pintle/kernel/plugin"
	"github.com/pintle-io/pintle/kernel/plugin/native"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/plugins/standard"
)

// newRuled is a control plane with the admission rules that ship, as they are loaded
// everywhere: with their permissions, in their order.
func newRuled(t testing.TB) *governed {
	t.Helper()
	g := newGovernedBy(t, func(c *kernel.Config) {
		c.Hosts = map[v1alpha1.HostKind]plugin.Host{v1alpha1.HostNative: native.Host{}}
		for _, p := range standard.Plugins {
			if p.Order == 0 {
				continue // no rule
			}
			b := plugin.Builtin{Name: p.Name, Account: p.Account, Spec: v1alpha1.PluginSpec{Plugin: p.Member, Host: v1alpha1.HostNative, Order: p.Order}}
			for _, r := range p.Rules {
				b.Spec.Permissions = append(b.Spec.Permissions, rbacv1.PolicyRule{APIGroups: r.Groups, Resources: r.Resources, Verbs: r.Verbs})
			}
			c.Builtins = append(c.Builtins, b)
		}
	})
	if _, err := g.CoreV1().ServiceAccounts("default").Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	g.warnings = nil // that there are no controllers here
	return g
}

// aPod is one that every rule lets in.
func aPod(name string, change func(*corev1.Pod)) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if change != nil {
		change(p)
	}
	return p
}

// The classes of the system are there from the start and stay; a pod gets the number
// of its class, and what contradicts it is refused in upstream's words.
func TestPriority(t *testing.T) {
	g := newRuled(t)
	classes := g.SchedulingV1().PriorityClasses()
	for name, want := range map[string]int32{"system-node-critical": 2000001000, "system-cluster-critical": 2000000000} {
		if c, err := classes.Get(t.Context(), name, metav1.GetOptions{}); err != nil || c.Value != want {
			t.Errorf("%s: %+v, %v", name, c, err)
		}
	}
	class := func(name string, value int32, usual bool) error {
		_, err := classes.Create(t.Context(), &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: name}, Value: value, GlobalDefault: usual}, metav1.CreateOptions{})
		return err
	}
	pod := func(class string, number *int32) (int32, string, string) {
		p, err := g.CoreV1().Pods("default").Create(t.Context(), aPod("p", func(p *corev1.Pod) { p.Spec.PriorityClassName, p.Spec.Priority = class, number }), dry)
		if err != nil {
			return 0, "", err.Error()
		}
		return *p.Spec.Priority, string(*p.Spec.PreemptionPolicy) + " " + p.Spec.PriorityClassName, ""
	}
	check := func(what, class string, number *int32, priority int32, rest, refused string) {
		t.Helper()
		if n, r, e := pod(class, number); n != priority || r != rest || e != refused {
			t.Errorf("%s: %d %q, %q; want %d %q, %q", what, n, r, e, priority, rest, refused)
		}
	}
	one := int32(1)
	check("no class", "", nil, 0, "PreemptLowerPriority ", "")
	check("of the system", "system-node-critical", nil, 2000001000, "PreemptLowerPriority system-node-critical", "")
	check("an unknown one", "none", nil, 0, "", `pods "p" is forbidden: no PriorityClass with name none was found`)
	check("a number", "", &one, 0, "", `pods "p" is forbidden: the integer value of priority (1) must not be provided in pod spec; priority admission controller computed 0 from the given PriorityClass name`)
	if err := class("usual", 10, true); err != nil {
		t.Fatal(err)
	}
	check("the default", "", nil, 10, "PreemptLowerPriority usual", "") // at once: this server's own write
	for what, tc := range map[string]struct {
		err  error
		want string
	}{
		"a second default": {class("other", 5, true), `403 Forbidden priorityclasses.scheduling.k8s.io "other" is forbidden: PriorityClass usual is already marked as default. Only one default can exist`},
		"too much":         {class("huge", 1000000001, false), `422 Invalid PriorityClass.scheduling.k8s.io "huge" is invalid: value: Forbidden: maximum allowed value of a user defined priority is 1000000000`},
		"of the system":    {classes.Delete(t.Context(), "system-node-critical", metav1.DeleteOptions{}), `403 Forbidden priorityclasses.scheduling.k8s.io "system-node-critical" is forbidden: this is a system priority class and cannot be deleted`},
		"the default goes": {classes.Delete(t.Context(), "usual", metav1.DeleteOptions{}), "ok"},
	} {
		if got := words(tc.err); got != tc.want {
			t.Errorf("%s: %s, want %s", what, got, tc.want)
		}
	}
	check("no default any more", "", nil, 0, "PreemptLowerPriority ", "")
}

// A claim and an Ingress that name no class get the default one, as soon as there is
// one; a new node is not ready.
func TestDefaultClasses(t *testing.T) {
	g := newRuled(t)
	mark := func(name, annotation string) metav1.ObjectMeta {
		return metav1.ObjectMeta{Name: name, Annotations: map[string]string{annotation: "true"}}
	}
	claim := func() *string {
		c, err := g.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("1Gi")}}}}, dry)
		if err != nil {
			t.Fatal(err)
		}
		return c.Spec.StorageClassName
	}
	ingress := func() *string {
		i, err := g.NetworkingV1().Ingresses("default").Create(t.Context(), &networkingv1.Ingress{ObjectMeta: metav1.ObjectMeta{Name: "i"}, Spec: networkingv1.IngressSpec{
			DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "s", Port: networkingv1.ServiceBackendPort{Number: 80}}}}}, dry)
		if err != nil {
			t.Fatal(err)
		}
		return i.Spec.IngressClassName
	}
	if c, i := claim(), ingress(); c != nil || i != nil {
		t.Errorf("without classes: %v, %v", c, i)
	}
	if _, err := g.StorageV1().StorageClasses().Create(t.Context(), &storagev1.StorageClass{ObjectMeta: mark("fast", "storageclass.kubernetes.io/is-default-class"), Provisioner: "a.b/c"}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.NetworkingV1().IngressClasses().Create(t.Context(), &networkingv1.IngressClass{ObjectMeta: mark("edge", "ingressclass.kubernetes.io/is-default-class"), Spec: networkingv1.IngressClassSpec{Controller: "a.b/c"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if c, i := claim(), ingress(); c == nil || *c != "fast" || i == nil || *i != "edge" {
		t.Errorf("by default: %v, %v; want fast, edge", c, i)
	}
	n, err := g.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}, dry)
	if want := []corev1.Taint{{Key: "node.kubernetes.io/not-ready", Effect: corev1.TaintEffectNoSchedule}}; err != nil || !cmp.Equal(n.Spec.Taints, want) {
		t.Errorf("a new node: %v, %v", n.Spec.Taints, err)
	}
}

// A LimitRange is obeyed at once, by pods and by claims, also when a pod is resized.
func TestLimitRange(t *testing.T) {
	g := newRuled(t)
	pods := g.CoreV1().Pods("default")
	quantities := func(cpu, memory string) corev1.ResourceList {
		return corev1.ResourceList{"cpu": resource.MustParse(cpu), "memory": resource.MustParse(memory)}
	}
	if _, err := pods.Create(t.Context(), aPod("free", nil), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := g.CoreV1().LimitRanges("default").Create(t.Context(), &corev1.LimitRange{ObjectMeta: metav1.ObjectMeta{Name: "l"}, Spec: corev1.LimitRangeSpec{Limits: []corev1.LimitRangeItem{
		{Type: corev1.LimitTypeContainer, Min: quantities("50m", "100Mi"), Max: quantities("500m", "500Mi"), Default: quantities("100m", "200Mi"), DefaultRequest: quantities("60m", "150Mi")},
		{Type: corev1.LimitTypePersistentVolumeClaim, Max: corev1.ResourceList{"storage": resource.MustParse("1Gi")}},
	}}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	p, err := pods.Create(t.Context(), aPod("usual", nil), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := corev1.ResourceRequirements{Requests: quantities("60m", "150Mi"), Limits: quantities("100m", "200Mi")}
	if got := p.Spec.Containers[0].Resources; !apiequality.Semantic.DeepEqual(got, want) {
		t.Errorf("by default: %v, want %v", got, want)
	}
	if got, want := p.Annotations["kubernetes.io/limit-ranger"], "LimitRanger plugin set: cpu, memory request for container c; cpu, memory limit for container c"; got != want {
		t.Errorf("annotation %q, want %q", got, want)
	}
	_, large := pods.Create(t.Context(), aPod("large", func(p *corev1.Pod) { p.Spec.Containers[0].Resources.Limits = quantities("600m", "500Mi") }), dry)
	p.Spec.Containers[0].Resources.Limits = quantities("700m", "200Mi")
	_, resized := pods.UpdateResize(t.Context(), "usual", p, metav1.UpdateOptions{})
	_, claim := g.CoreV1().PersistentVolumeClaims("default").Create(t.Context(), &corev1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: "c"}, Spec: corev1.PersistentVolumeClaimSpec{
		AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce}, Resources: corev1.VolumeResourceRequirements{Requests: corev1.ResourceList{"storage": resource.MustParse("2Gi")}}}}, dry)
	for what, tc := range map[string]struct {
		err  error
		want string
	}{
		"a large pod": {large, `403 Forbidden pods "large" is forbidden: maximum cpu usage per Container is 500m, but limit is 600m`},
		"resized":     {resized, `403 Forbidden pods "usual" is forbidden: maximum cpu usage per Container is 500m, but limit is 700m`},
		"a claim":     {claim, `403 Forbidden persistentvolumeclaims "c" is forbidden: maximum storage usage per PersistentVolumeClaim is 1Gi, but request is 2Gi`},
	} {
		if got := words(tc.err); got != tc.want {
			t.Errorf("%s: %s, want %s", what, got, tc.want)
		}
	}
	if slices.ContainsFunc(g.warnings, func(w string) bool { return strings.Contains(w, "LimitRange") }) {
		t.Errorf("warned that nobody acts on a LimitRange: %q", g.warnings)
	}
}

// The labels of a namespace are checked and obeyed at once; what is there already is
// told of.
func TestPodSecurity(t *testing.T) {
	g := newRuled(t)
	host := func(p *corev1.Pod) { p.Spec.HostPID = true }
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), aPod("there", host), metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	label := func(text string) error {
		_, err := g.CoreV1().Namespaces().Patch(t.Context(), "default", types.MergePatchType, []byte(`{"metadata":{"labels":{`+text+`}}}`), metav1.PatchOptions{})
		return err
	}
	if got, want := words(label(`"pod-security.kubernetes.io/enforce":"odd"`)),
		`422 Invalid Namespace "default" is invalid: metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: "odd": must be one of privileged, baseline, restricted`; got != want {
		t.Errorf("an unknown level: %s, want %s", got, want)
	}
	warned := func(what string, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, g.warnings); diff != "" {
			t.Errorf("%s: warnings (-want +got):\n%s", what, diff)
		}
		g.warnings = nil
	}
	warned("refused")
	if err := label(`"pod-security.kubernetes.io/enforce":"baseline","pod-security.kubernetes.io/enforce-version":"v1.30"`); err != nil {
		t.Fatal(err)
	}
	warned("labelled", `existing pods in namespace "default" violate the new PodSecurity enforce level "baseline:v1.30"`, "there: host namespaces")
	_, err := g.CoreV1().Pods("default").Create(t.Context(), aPod("p", host), dry)
	if got, want := words(err), `403 Forbidden pods "p" is forbidden: violates PodSecurity "baseline:v1.30": host namespaces (hostPID=true)`; got != want {
		t.Errorf("a pod: %s, want %s", got, want)
	}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "d"}, Spec: appsv1.DeploymentSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"a": "b"}},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"a": "b"}}, Spec: aPod("", host).Spec}}}
	if _, err := g.AppsV1().Deployments("default").Create(t.Context(), d, dry); err != nil {
		t.Fatal(err)
	}
	if len(g.warnings) > 0 {
		g.warnings = g.warnings[len(g.warnings)-1:] // that nobody acts on Deployments here comes first
	}
	warned("a Deployment", `would violate PodSecurity "baseline:v1.30": host namespaces (hostPID=true)`)
	if _, err := g.CoreV1().Pods("default").Create(t.Context(), aPod("p", nil), dry); err != nil {
		t.Errorf("a good pod: %v", err)
	}
	warned("a good pod")
}
