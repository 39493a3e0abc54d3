package serve_test

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/authentication/user"

	"github.com/pintle-io/pintle/cmd/pintle/internal/paths"
	"github.com/pintle-io/pintle/cmd/pintle/internal/serve"
	"github.com/pintle-io/pintle/cmd/pintle/internal/steps"
	"github.com/pintle-io/pintle/internal/payload"
	"github.com/pintle-io/pintle/kernel/plugin/modules"
	"github.com/pintle-io/pintle/kernel/plugin/v1alpha1"
	"github.com/pintle-io/pintle/kernel/registry"
	"github.com/pintle-io/pintle/plugins/standard"
)

// TestStrangersDoAsOurs: a cluster in which nothing of what ships runs, and the
// same plugins are somebody's own, under other names, works. There is no
// extension point, permission or watch that takes being a built-in.
func TestStrangersDoAsOurs(t *testing.T) {
	t.Run("native", func(t *testing.T) { strangers(t, "native") })
	t.Run("wasm", func(t *testing.T) { strangers(t, "wasm") })
}

func strangers(t *testing.T, host string) {
	t.Parallel()
	x := start(t, host)
	x.bind("ann", "cluster-admin") // holds all rights, as a person does: by a role
	digest := x.upload(host)
	for _, ours := range standard.Plugins {
		p := x.plugin(ours.Name).DeepCopy()
		spec := p.Spec
		spec.Digest = digest
		x.create(v1alpha1.Plugins, "", &v1alpha1.Plugin{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "Plugin"},
			ObjectMeta: metav1.ObjectMeta{Name: "their-" + ours.Name}, Spec: spec})
	}
	for _, ours := range standard.Plugins {
		x.eventually("plugin their-"+ours.Name+" is ready", func() bool {
			p := x.plugin("their-" + ours.Name)
			if p.Status.Phase == v1alpha1.Failed {
				t.Fatalf("plugin %s: %s", p.Name, p.Status.Message)
			}
			return p.Status.Phase == v1alpha1.Ready
		})
		if p := x.plugin(ours.Name); p.Status.Phase != v1alpha1.Disabled {
			t.Errorf("the built-in plugin %s is %s", p.Name, p.Status.Phase)
		}
		want, got := x.plugin(ours.Name).Spec, x.plugin("their-"+ours.Name).Spec
		want.Digest, got.Digest = "", ""
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("their-%s is not granted what %s is (-ours +theirs):\n%s", ours.Name, ours.Name, d)
		}
	}
	x.works()
}

// cluster is a control plane whose built-in plugins are disabled.
type cluster struct {
	t     *testing.T
	admin registry.Registry
	ann   registry.Registry
}

func start(t *testing.T, host string) *cluster {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := serve.DefaultServer()
	s.Dir, s.PluginHost, s.UnsafeNoFsync, s.Log = paths.Dir(t.TempDir()), host, true, slog.New(slog.DiscardHandler)
	s.Listeners, s.Advertise = []net.Listener{l}, netip.MustParseAddrPort(l.Addr().String())
	s.Report = steps.NewReporter(steps.Terminal(t.Output()), time.Now)
	for _, p := range standard.Plugins {
		s.DisabledPlugins = append(s.DisabledPlugins, p.Name)
	}
	controlPlane, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- controlPlane.Run(ctx, nil) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-controlPlane.Kernel().PluginsSynced()
	access := controlPlane.Kernel().Access()
	return &cluster{t, access.As(&user.DefaultInfo{Name: "admin", Groups: []string{user.SystemPrivilegedGroup}}),
		access.As(&user.DefaultInfo{Name: "ann", Groups: []string{user.AllAuthenticated}})}
}

func (x *cluster) bind(name, role string) {
	x.t.Helper()
	b := &rbacv1.ClusterRoleBinding{TypeMeta: metav1.TypeMeta{APIVersion: "rbac.authorization.k8s.io/v1", Kind: "ClusterRoleBinding"},
		ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: name}}}
	if _, err := x.admin.Create(x.t.Context(), registry.Target{Resource: rbacv1.SchemeGroupVersion.WithResource("clusterrolebindings")}, b, registry.WriteOptions{}); err != nil {
		x.t.Fatal(err)
	}
}

// upload stores a module that does not ship: the standard plugins with a section
// more, which says nothing.
func (x *cluster) upload(host string) (digest string) {
	x.t.Helper()
	if host == "native" {
		return ""
	}
	b, err := payload.Read(payload.Standard)
	if err != nil {
		x.t.Fatal(err)
	}
	b = append(b, 0, 7, 6, 't', 'h', 'e', 'i', 'r', 's')
	x.eventually("the module is stored", func() bool {
		digest, err = modules.New(x.ann).Put(x.t.Context(), b)
		if apierrors.IsForbidden(err) {
			return false // the role binding is not there yet
		}
		if err != nil {
			x.t.Fatal(err)
		}
		return true
	})
	return digest
}

func (x *cluster) plugin(name string) *v1alpha1.Plugin {
	x.t.Helper()
	p, ok := x.get(v1alpha1.Plugins, "", name).(*v1alpha1.Plugin)
	if !ok {
		x.t.Fatalf("there is no plugin %s", name)
	}
	return p
}

// get reads an object; nil when there is none.
func (x *cluster) get(gvr schema.GroupVersionResource, namespace, name string) runtime.Object {
	x.t.Helper()
	o, err := x.ann.Get(x.t.Context(), registry.Target{Resource: gvr, Namespace: namespace, Name: name}, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		x.t.Fatal(err)
	}
	return o.Obj
}

func (x *cluster) create(gvr schema.GroupVersionResource, namespace string, obj runtime.Object) {
	x.t.Helper()
	x.eventually("an object of "+gvr.Resource+" is created", func() bool {
		_, err := x.ann.Create(x.t.Context(), registry.Target{Resource: gvr, Namespace: namespace}, obj.DeepCopyObject(), registry.WriteOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsAlreadyExists(err) {
			return apierrors.IsAlreadyExists(err)
		}
		if err != nil {
			x.t.Fatal(err)
		}
		return true
	})
}

func (x *cluster) remove(gvr schema.GroupVersionResource, namespace, name string) {
	x.t.Helper()
	if _, err := x.ann.Delete(x.t.Context(), registry.Target{Resource: gvr, Namespace: namespace, Name: name}, metav1.DeleteOptions{}); err != nil {
		x.t.Fatal(err)
	}
}

func (x *cluster) eventually(what string, done func() bool) {
	x.t.Helper()
	for deadline := time.Now().Add(3 * time.Minute); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			x.t.Fatalf("not within three minutes: %s", what)
		}
	}
}

// works goes through what the standard plugins do: policies, controllers,
// scheduling, garbage collection and the end of a namespace.
func (x *cluster) works() {
	core := corev1.SchemeGroupVersion.WithResource
	apps := appsv1.SchemeGroupVersion.WithResource
	x.create(core("nodes"), "", &corev1.Node{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Node"}, ObjectMeta: metav1.ObjectMeta{Name: "n1"},
		Status: corev1.NodeStatus{Allocatable: corev1.ResourceList{"cpu": resource.MustParse("4"), "memory": resource.MustParse("4Gi"), "pods": resource.MustParse("110")},
			Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}})
	x.create(core("namespaces"), "", &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "team"}})
	labels := map[string]string{"app": "web"}
	replicas := int32(2)
	x.create(apps("deployments"), "team", &appsv1.Deployment{TypeMeta: metav1.TypeMeta{APIVersion: "apps/v1", Kind: "Deployment"}, ObjectMeta: metav1.ObjectMeta{Name: "web"},
		Spec: appsv1.DeploymentSpec{Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}})
	x.eventually("default-service-account and root-ca have worked", func() bool {
		return x.get(core("serviceaccounts"), "team", "default") != nil && x.get(core("configmaps"), "team", "kube-root-ca.crt") != nil
	})
	bound := func() (n int) {
		l, err := x.ann.List(x.t.Context(), registry.Target{Resource: core("pods"), Namespace: "team"}, metav1.ListOptions{})
		if err != nil {
			x.t.Fatal(err)
		}
		for _, o := range l.Items {
			p := o.Obj.(*corev1.Pod)
			if p.Spec.ServiceAccountName != "default" || len(p.Spec.Tolerations) < 2 {
				x.t.Errorf("policies have not seen pod %s: service account %q, %d tolerations", p.Name, p.Spec.ServiceAccountName, len(p.Spec.Tolerations))
			}
			if p.Spec.NodeName == "n1" {
				n++
			}
		}
		return n
	}
	x.eventually("deployment, replicaset and scheduling have worked", func() bool { return bound() == 2 })
	x.eventually("node-ipam has worked", func() bool { return x.get(core("nodes"), "", "n1").(*corev1.Node).Spec.PodCIDR != "" })
	sets := func() int {
		l, err := x.ann.List(x.t.Context(), registry.Target{Resource: apps("replicasets"), Namespace: "team"}, metav1.ListOptions{})
		if err != nil {
			x.t.Fatal(err)
		}
		return len(l.Items)
	}
	x.remove(apps("deployments"), "team", "web")
	x.eventually("garbage-collector has worked", func() bool { return sets() == 0 })
	x.create(core("namespaces"), "", &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: "short"}})
	x.eventually("namespace short has its ConfigMap", func() bool { return x.get(core("configmaps"), "short", "kube-root-ca.crt") != nil })
	x.remove(core("namespaces"), "", "short")
	x.eventually("namespace has worked", func() bool { return x.get(core("namespaces"), "", "short") == nil })
}
